"""A model that cannot be imported."""

from __future__ import annotations

raise RuntimeError("this model is broken on purpose: password=hunter2")
