"""The import names of DEEPaaS, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NAMES = """
import sys
from modelserve.deepaas import host
host("leaves")
import deepaas
import deepaas.model
from deepaas import config, log, model
from deepaas.model import v2
from deepaas.model.v2 import base, wrapper
from deepaas.model.v2.base import BaseModel
from deepaas.model.v2.wrapper import ReturnedFile, UploadedFile
from modelserve.v2 import BaseModel as ours, UploadedFile as upload

assert UploadedFile is upload and BaseModel is ours
assert deepaas.model.v2.wrapper is wrapper and model is deepaas.model
assert wrapper.UploadedFile("data", "/a", "image/png", "a.png").original_filename == "a.png"
file = ReturnedFile(name="data", filename="/a", content_type="image/png", original_filename="a.png")
assert file == ("data", "/a", "image/png", "a.png") and file._asdict()["filename"] == file[1] == "/a"
assert ReturnedFile(filename="/a") == (None, "/a", None, None)
assert UploadedFile(name="data", filename="/a", content_type="image/png").original_filename is None
assert config.CONF.model_name == "leaves"
log.getLogger("leaves").error("heard")
assert deepaas.extract_version() == deepaas.__version__
assert "aiohttp" not in sys.modules and "oslo_config" not in sys.modules
"""

INSTALLED = """
from modelserve.deepaas import host
host("leaves")
from modelserve.v2 import UploadedFile as ours
from deepaas.model.v2 import base, wrapper
from deepaas.model.v2.wrapper import ReturnedFile, UploadedFile
import deepaas.config, deepaas.other, deepaas.model.v2.another

assert UploadedFile is ours and wrapper.UploadedFile is ours and issubclass(ReturnedFile, ours)
assert deepaas.config.CONF.model_name == "leaves"
assert deepaas.other.REAL and deepaas.model.v2.another.REAL
"""

REAL = {
    "__init__.py": "raise RuntimeError('the real one')",
    "model/v2/wrapper.py": "raise RuntimeError('the real one')",
    "other.py": "REAL = True",
    "model/v2/another.py": "from deepaas.model.v2.wrapper import UploadedFile; REAL = True",
}

NATIVE = """
import importlib.util, pathlib
from modelserve.discovery import ModelRef
from modelserve.loading import load
load(ModelRef("plain", "module", "plain_model"))
assert importlib.util.find_spec("deepaas") is None
"""


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("code", [NAMES, INSTALLED, NATIVE], ids=["names", "installed", "native"])
def test_the_names_are_offered_where_they_are_wanted_and_nowhere_else(code: str, tmp_path: Path) -> None:
    (tmp_path / "plain_model.py").write_text("def predict():\n    return 1\n")
    if code is INSTALLED:
        for name, text in REAL.items():
            (tmp_path / "deepaas" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "deepaas" / name).write_text(text)
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr
