"""The rule for a deployment's name, which stands in URLs, file names, metrics and logs as it is."""

from __future__ import annotations

import re

__all__ = ["NAME_RULE", "is_name"]

# In words that follow "must be".
NAME_RULE = "1 to 100 letters, digits, '.', '_' or '-', and not begin with '.'"

_NAME = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,100}")


def is_name(text: str) -> bool:
    """Tell whether a deployment may have this name."""
    return _NAME.fullmatch(text) is not None
