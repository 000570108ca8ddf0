"""Tells fields that are declared as marshmallow 3 took them, where a later marshmallow refuses them.

TypeError: Field.__init__() got an unexpected keyword argument 'missing'  ->  what to install
"""

from __future__ import annotations

import importlib.metadata
import re

import marshmallow.fields

from modelserve.errors import ContractError

__all__ = ["explained"]

_REFUSAL = re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")


def explained(error: BaseException) -> BaseException:
    """Return what says what to do where a field was given keywords of marshmallow 3, else the error itself."""
    found = _REFUSAL.fullmatch(str(error)) if isinstance(error, TypeError) else None
    version = importlib.metadata.version("marshmallow")
    if found is None or not hasattr(marshmallow.fields, found[1]) or version.startswith("3."):
        return error
    better = ContractError(
        f"A field is declared with {found[2]}=..., which marshmallow {version} refuses and marshmallow 3 took: run "
        "pip install 'modelserve[deepaas]', which installs marshmallow 3.26; or write load_default= for missing=, and "
        "metadata={...} for description, enum, location and type."
    )
    better.__cause__ = error
    return better
