"""A training may start the worker processes of PyTorch's DataLoader, in each way that it knows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

MODEL = Path(__file__).with_name("loading.py")


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_a_training_reads_its_data_through_processes_of_its_own(tmp_path: Path, context: str) -> None:
    trained = subprocess.run(
        [sys.executable, "-m", "modelserve", "train", str(MODEL), "--context", context],
        cwd=tmp_path,
        env={**os.environ, "MODELSERVE_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout) == {"rows": 64, "readers": 2}
