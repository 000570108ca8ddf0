"""What tests start is the tree under test, and no other modelserve that happens to be installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import modelserve
from tests.running import TREE

# Who says what PYTHONPATH is, and why it need not hold the tree: a copy of the tree is meant, or no program is started.
OTHERS = {"running.py", "test_tree.py", "test_launch.py", "test_upgrades.py"}

ASK = """
import sys
from pathlib import Path
from tests.cli.program import modelserve
from tests.running import running
folder = Path(sys.argv[1])
print(modelserve("--version", folder=folder).out)
(folder / "m.py").write_text("def predict(x: int) -> int: return x")
with running(["m.py"], folder=folder, wait=False) as server:
    server.process.wait(30)
    print(server.stdout, server.log)
"""


def test_a_command_and_a_server_are_of_the_tree_that_the_tests_import(tmp_path: Path) -> None:
    """Here a copy that ends at once: neither is what is installed."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("modelserve", "tests"):
        shutil.copytree(TREE / name, tmp_path / "tree" / name, ignore=ignored)
    main = tmp_path / "tree" / "modelserve" / "__main__.py"
    main.write_text('raise SystemExit(print("the copy was started"))\n')
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "tree")}
    command = [sys.executable, "-c", ASK, str(tmp_path)]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout.count("the copy was started") == 2, done


def test_nothing_that_a_test_starts_is_told_another_path() -> None:
    """PYTHONPATH is made by import_path alone."""
    named = {
        path.name
        for path in (TREE / "tests").rglob("*.py")
        for line in path.read_text().splitlines()
        if re.search(r"""["']PYTHONPATH["']\s*[:,]""", line) and "import_path(" not in line
    }
    assert named - OTHERS == set()


def test_a_bare_interpreter_finds_it_too() -> None:
    command = [sys.executable, "-c", "import modelserve; print(modelserve.__file__)"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == modelserve.__file__
