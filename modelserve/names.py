"""Names: the rule for a deployment's, which stands in URLs, file names, metrics and logs as it is; where models are.

And how long the name of a file may be.
"""

from __future__ import annotations

import os
import re

__all__ = ["DEEPAAS_GROUP", "GROUP", "GROUPS", "MAX_FILENAME_BYTES", "NAME_RULE", "is_name", "shortened", "suffix_of"]

# The entry-point groups in which installed models are found: our own, and that of packages written for DEEPaaS.
GROUP = "modelserve.v2.model"
DEEPAAS_GROUP = "deepaas.v2.model"
GROUPS = (GROUP, DEEPAAS_GROUP)

# In words that follow "must be".
NAME_RULE = "1 to 100 letters, digits, '.', '_' or '-', and not begin with '.'"

# File systems end at 255, and who saves a file may put something before or behind its name.
MAX_FILENAME_BYTES = 200

# The longest that programs know have some 12 characters.
_SUFFIX = re.compile(r"\.[A-Za-z0-9_+-]{1,20}")
_NAME = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,100}")


def is_name(text: str) -> bool:
    """Tell whether a deployment may have this name."""
    return _NAME.fullmatch(text) is not None


def shortened(filename: str) -> str:
    """Return the end of a file's name, suffixes included, as much of it as every file system takes.

    >>> shortened("x" * 300 + ".nii.gz") == "x" * 193 + ".nii.gz"
    True
    """
    return filename.encode()[-MAX_FILENAME_BYTES:].decode(errors="ignore")


def suffix_of(filename: str) -> str:
    """Return the suffix of a file's name with its dot, or both where there are two; "" for none that is plain letters.

    >>> [suffix_of(name) for name in ("a.wav", "brain.nii.gz", "x.safetensors", ".profile", "a.t t", "v1.2.3.tar.gz")]
    ['.wav', '.nii.gz', '.safetensors', '', '', '.tar.gz']
    """
    stem, last = os.path.splitext(filename)
    if not _SUFFIX.fullmatch(last):
        return ""
    first = os.path.splitext(stem)[1]
    return first + last if _SUFFIX.fullmatch(first) else last
