"""The import names of DEEPaaS that packages use, as aliases of ours, whether or not a ``deepaas`` is installed.

deepaas.model.v2.wrapper   UploadedFile, ReturnedFile
deepaas.model.v2.base      BaseModel
deepaas.config             CONF
deepaas.log                getLogger

An upload is to be what the package's ``isinstance`` asks for, so an installed ``deepaas`` stands back: of it, a package
finds only the modules that have no alias.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

from modelserve.v2.files import UploadedFile
from modelserve.v2.model import BaseModel

__all__ = ["ReturnedFile", "offer_names"]

# The release whose names these are: https://pypi.org/project/deepaas/2.6.0/
VERSION = "2.6.0"


class ReturnedFile(UploadedFile):
    """A file as an answer: in DEEPaaS a named tuple of the same four, of which nothing reads ``name``."""


def offer_names(model: str) -> None:
    """Make the names importable in this process.

    Args:
        model: The model's name, which ``CONF.model_name`` has.
    """
    real = _real_folders()
    # What a package may read of its server; all else is the server's own matter.
    conf = SimpleNamespace(
        model_name=model,
        workers=1,
        warm=True,
        predict_endpoint=True,
        train_endpoint=True,
        debug_endpoint=False,
        doc_endpoint=True,
        client_max_size=0,
    )
    _offer("deepaas", __version__=VERSION, extract_version=lambda: VERSION, __path__=real)
    _offer("deepaas.config", CONF=conf)
    _offer("deepaas.log", getLogger=logging.getLogger)
    _offer("deepaas.model", __path__=[os.path.join(folder, "model") for folder in real])
    _offer("deepaas.model.v2", __path__=[os.path.join(folder, "model", "v2") for folder in real])
    _offer("deepaas.model.v2.base", BaseModel=BaseModel)
    _offer("deepaas.model.v2.wrapper", UploadedFile=UploadedFile, ReturnedFile=ReturnedFile)


def _real_folders() -> list[str]:
    """Return where an installed package of that name lies; nothing of it is run."""
    spec = importlib.util.find_spec("deepaas")
    return list(spec.submodule_search_locations or ()) if spec is not None else []


def _offer(name: str, **values: Any) -> None:
    module = ModuleType(name, "An alias that modelserve offers to packages written for DEEPaaS.")
    vars(module).update(values)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
