"""The models that are measured; each is served by its file."""
