"""Names: the rule for a deployment's, which stands in URLs, file names, metrics and logs as it is; where models are."""

from __future__ import annotations

import re

__all__ = ["DEEPAAS_GROUP", "GROUP", "GROUPS", "NAME_RULE", "is_name"]

# The entry-point groups in which installed models are found: our own, and that of packages written for DEEPaaS.
GROUP = "modelserve.v2.model"
DEEPAAS_GROUP = "deepaas.v2.model"
GROUPS = (GROUP, DEEPAAS_GROUP)

# In words that follow "must be".
NAME_RULE = "1 to 100 letters, digits, '.', '_' or '-', and not begin with '.'"

_NAME = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,100}")


def is_name(text: str) -> bool:
    """Tell whether a deployment may have this name."""
    return _NAME.fullmatch(text) is not None
