"""Models that remove their temporary folder, or all that they take for it. Confined: they know no bounds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.confined import confined
from tests.faults.told import counted
from tests.running import Running, eventually, running

HEAD = """
import os, shutil, tempfile
from modelserve.v2 import fields

def get_metadata():
    return {"name": "clears", "description": "Clears its folder."}

def get_predict_args():
    return {"do": fields.Str(load_default="look")}

def begin(do):
    folder = os.environ["TMPDIR"]
    if do == "remove":
        shutil.rmtree(folder)
    if do == "remove all":
        shutil.rmtree(os.path.dirname(folder))
    if do == "replace":
        shutil.rmtree(folder)
        open(folder, "w").close()
    if do == "clear":
        shutil.rmtree(folder)
        shutil.rmtree(tempfile.gettempdir(), ignore_errors=True)
    if do == "look":
        with tempfile.NamedTemporaryFile() as file:
            return [os.path.dirname(file.name), folder, os.getpid()]
    return folder
"""

ENDS = {
    "turns": "def predict(do):\n    return begin(do)\n",
    "batch": "max_batch_size = 4\n\ndef predict_batch(items):\n    return [begin(**item) for item in items]\n",
    "async": "max_concurrency = 4\n\nasync def predict(do):\n    return begin(do)\n",
    "stream": "def predict(do):\n    yield begin(do)\n",
}

DOES = ("remove", "remove all", "replace", "clear")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("clears")
    for kind, end in ENDS.items():
        (folder / f"{kind}.py").write_text(f"{HEAD}\n{end}")
    scripts = [str(folder / f"{kind}.py") for kind in ENDS]
    arguments = [*scripts, "--restart-budget", "100"]
    with running(arguments, folder=folder, within=confined(folder, alone=True)) as server:
        eventually(lambda: server.get("/readyz").status == 200, within_s=40)
        yield server


def look(server: Running, kind: str) -> list[str]:
    """Return where the model's files go, where they should, and its process."""
    reply = server.predict(kind, {"do": "look"}, Accept="application/json")
    assert reply.status == 200
    found = reply.json()
    return [str(word) for word in (found[0] if kind == "stream" else found["predictions"])]


@pytest.mark.parametrize("do", DOES)
@pytest.mark.parametrize("kind", ENDS)
def test_a_worker_whose_folder_is_gone_has_it_again_and_is_replaced(server: Running, kind: str, do: str) -> None:
    """L7."""
    _, folder, process = look(server, kind)
    assert server.predict(kind, {"do": do}).status == 200
    place, folder_then, _ = look(server, kind)
    assert place == folder_then, "not in the system's own folder"
    eventually(lambda: look(server, kind)[2] != process)
    place, new, _ = look(server, kind)
    assert place == new != folder


def test_a_folder_that_somebody_else_has_tidied_up_is_there_again(server: Running) -> None:
    """L7."""
    _, folder, process = look(server, "turns")
    shutil.rmtree(folder)
    assert look(server, "turns")[:2] == [folder, folder]
    eventually(lambda: look(server, "turns")[2] != process)
    eventually(lambda: not os.path.exists(folder))
    assert counted(server, "modelserve_worker_exits_total", deployment="turns", reason="exit") == 0


def test_workers_are_not_replaced_for_ever(tmp_path: Path) -> None:
    """L7: a model that does so with each call is served, by workers that are replaced within the budget."""
    (tmp_path / "turns.py").write_text(f"{HEAD}\n{ENDS['turns']}")
    arguments = ["turns.py", "--restart-budget", "2"]
    with running(arguments, folder=tmp_path, within=confined(tmp_path, alone=True)) as server:
        for _ in range(2):
            process = look(server, "turns")[2]
            assert server.predict("turns", {"do": "remove"}).status == 200
            eventually(lambda: look(server, "turns")[2] != process)  # noqa: B023 - asked before the next turn
        process = look(server, "turns")[2]
        for _ in range(3):
            assert server.predict("turns", {"do": "remove"}).status == 200
            place, folder, same = look(server, "turns")
            assert (place, same) == (folder, process)


def test_a_folder_of_a_server_that_was_made_again_is_no_leftover(tmp_path: Path) -> None:
    """L7: the next start removes what nobody holds, and ends the workers in it."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "turns.py").write_text(f"{HEAD}\n{ENDS['turns']}")
    env = {"TMPDIR": str(tmp_path)}
    with running(["turns.py"], folder=tmp_path / "first", within=confined(tmp_path), env=env) as first:
        process = look(first, "turns")[2]
        assert first.predict("turns", {"do": "remove all"}).status == 200
        eventually(lambda: look(first, "turns")[2] != process)
        process = look(first, "turns")[2]
        with running(["turns.py"], folder=tmp_path / "second", within=confined(tmp_path), env=env) as second:
            assert "had left" not in second.log
            place, folder, same = look(first, "turns")
            assert (place, same) == (folder, process)
