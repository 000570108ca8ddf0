"""Model packages for the tests, and how to install them; see README.md."""
