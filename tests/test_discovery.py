"""Models are found without being imported, and loaded in a worker; distributions are real folders of metadata."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelserve.discovery import ModelRef, carry, find, installed
from modelserve.errors import DiscoveryError, NoModel
from modelserve.loading import load
from modelserve.names import DEEPAAS_GROUP, GROUP, is_name


@pytest.fixture(scope="module")
def without_metadata(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the import path with the packages of this environment, but without what says which models they hold."""
    path = []
    for number, entry in enumerate(entry for entry in sys.path if entry):
        if "site-packages" in entry and Path(entry).is_dir():
            shown = tmp_path_factory.mktemp(f"packages-{number}")
            for item in Path(entry).iterdir():
                if item.suffix not in (".dist-info", ".egg-info"):
                    (shown / item.name).symlink_to(item)
            entry = str(shown)
        path.append(entry)
    return path


@pytest.fixture(autouse=True)
def own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_metadata: list[str]) -> Iterator[Path]:
    """Run in an empty folder, with a path and modules that the test may change, and no models installed but its own."""
    loaded = set(sys.modules)
    monkeypatch.setattr(sys, "path", [entry for entry in without_metadata if Path(entry).resolve() != Path.cwd()])
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path / "here"
    for name in set(sys.modules) - loaded:
        del sys.modules[name]


def _distribution(
    folder: Path, name: str, *points: str, version: str = "1.0", metadata: str = "", group: str = GROUP
) -> Path:
    """Install a distribution's metadata into a folder and put that on the path."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}")
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *points]))
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    return info


def _write(path: Path, code: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(code))
    return path


def test_installed_models_are_found_in_order_of_their_names(tmp_path: Path) -> None:
    _distribution(tmp_path / "a", "two-models", "b = pkg.mod:B", "a=pkg.mod")
    _distribution(tmp_path / "b", "third", "c = other : C.d [extra]")
    _distribution(tmp_path / "b", "no-model", "x = pkg.mod", group="console_scripts")
    assert [(ref.name, ref.kind, ref.target) for ref in installed()] == [
        ("a", "entry_point", "pkg.mod"),
        ("b", "entry_point", "pkg.mod:B"),
        ("c", "entry_point", "other:C.d"),
    ]
    assert find([]) == installed()


def test_finding_imports_nothing_of_a_package(own_world: Path) -> None:
    _write(own_world / "bomb" / "__init__.py", "raise SystemExit('imported')")
    _write(own_world / "bomb" / "model.py", "raise SystemExit('imported')")
    sys.path.insert(0, str(own_world))
    _distribution(own_world / "site", "bomb", "bomb = bomb.model")
    find([])
    find(["bomb.model:Other", "bomb/model.py:Third"])
    assert "bomb" not in sys.modules


def test_a_model_brings_what_its_distribution_says_of_itself(tmp_path: Path) -> None:
    _distribution(
        tmp_path,
        "digits",
        "digits = d",
        metadata="License-Expression: MIT\nAuthor-email: Ada L <a@x.org>\nProject-URL: Homepage, https://x.org\n"
        "Project-URL: broken\nSummary: Reads digits\x1b[31m\n",
    )
    assert installed()[0].distribution == {
        "name": "digits",
        "version": "1.0",
        "license": "MIT",
        "author": "Ada L",
        "url": "https://x.org",
        "summary": "Reads digits[31m",
    }


def test_of_a_whole_licence_in_the_metadata_the_first_line_is_kept(tmp_path: Path) -> None:
    _distribution(
        tmp_path, "a", "a = a", metadata=f"License: The X Licence\n        second line\nSummary: {'y' * 999}\n"
    )
    _distribution(tmp_path, "b", "b = b", metadata="License: UNKNOWN\n")
    first, second = (ref.distribution for ref in installed())
    assert (first["license"], len(first["summary"])) == ("The X Licence", 300)
    assert (second["license"], second["url"]) == ("", "")


def test_two_packages_with_one_name_are_an_error_that_names_both(tmp_path: Path) -> None:
    """FAULTS B09."""
    _distribution(tmp_path / "a", "first-package", "digits = a", version="1.2")
    _distribution(tmp_path / "b", "second-package", "digits = b", version="3.4")
    with pytest.raises(DiscoveryError, match="'digits'") as caught:
        find(["digits"])
    assert "first-package 1.2" in caught.value.message
    assert "second-package 3.4" in caught.value.message
    assert caught.value.exit_code == 3


def test_one_package_with_one_name_twice_is_an_error(tmp_path: Path) -> None:
    _distribution(tmp_path, "double", "digits = a", "digits = b")
    with pytest.raises(DiscoveryError, match=r"double 1\.0 and one from double 1\.0"):
        installed()


def test_two_copies_of_one_distribution_are_no_conflict_and_the_first_counts(tmp_path: Path) -> None:
    _distribution(tmp_path / "a", "My.Digits", "digits = first")
    _distribution(tmp_path / "b", "my-digits", "digits = second")
    sys.path.append(str(tmp_path / "a"))
    assert [ref.target for ref in installed()] == ["first"]


@pytest.mark.parametrize("name", ["../x", "a b", "<script>", "", "x" * 101, ".hidden", "größe", "a/b", "a?b"])
def test_a_bad_name_is_refused_and_its_distribution_named(tmp_path: Path, name: str) -> None:
    """FAULTS B10."""
    _distribution(tmp_path, "bad-names", f"{name} = a")
    with pytest.raises(DiscoveryError, match=r"of bad-names 1\.0 is not valid") as caught:
        installed()
    assert len(caught.value.message) < 400


def test_a_name_that_ends_with_a_line_feed_is_refused() -> None:
    """FAULTS B10: a file of entry points cannot say it, and the expression does not let it pass either."""
    assert not is_name("con\n")
    assert is_name("x" * 100)


@pytest.mark.parametrize("target", ["a b", ":A", "a:", "a/b.py", ""])
def test_a_bad_target_is_refused(tmp_path: Path, target: str) -> None:
    _distribution(tmp_path, "bad-targets", f"digits = {target}")
    with pytest.raises(DiscoveryError, match=r"'digits' of bad-targets 1\.0"):
        installed()


def test_models_of_both_groups_are_found_or_those_of_one(tmp_path: Path) -> None:
    _distribution(tmp_path, "new", "digits = d")
    _distribution(tmp_path, "old", "leaves = l", group=DEEPAAS_GROUP)
    assert [(ref.name, ref.group, ref.is_deepaas) for ref in installed()] == [
        ("digits", GROUP, False),
        ("leaves", DEEPAAS_GROUP, True),
    ]
    assert [ref.name for ref in installed(GROUP)] == ["digits"]
    assert [ref.name for ref in find([], DEEPAAS_GROUP)] == ["leaves"]
    with pytest.raises(NoModel, match="There is no model 'leaves'"):
        find(["leaves"], GROUP)


def test_a_name_in_both_groups_is_told_with_what_to_do(tmp_path: Path) -> None:
    _distribution(tmp_path, "both", "digits = d")
    _distribution(tmp_path, "old", "digits = l", group=DEEPAAS_GROUP)
    with pytest.raises(DiscoveryError, match="choose a group with --group, or uninstall") as caught:
        installed()
    for word in ("'digits'", "both 1.0", "old 1.0", GROUP, DEEPAAS_GROUP):
        assert word in caught.value.message
    assert installed(DEEPAAS_GROUP)[0].target == "l"


def test_a_broken_package_does_not_hide_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _distribution(tmp_path, "broken", "no equals sign")
    _distribution(tmp_path, "fine", "digits = d")
    assert [ref.name for ref in installed()] == ["digits"]
    assert "entry points of broken cannot be read" in caplog.text


def test_without_any_model_the_sentence_says_what_to_do() -> None:
    """FAULTS B11."""
    with pytest.raises(NoModel, match="pip install a package with an entry point in the group") as caught:
        find([])
    assert GROUP in caught.value.message
    assert caught.value.exit_code == 3
    with pytest.raises(NoModel, match="There is no model 'nosuch', and none is installed"):
        find(["nosuch"])


def test_an_unknown_model_is_told_with_the_nearest_and_all_that_are_there(tmp_path: Path) -> None:
    """FAULTS B11."""
    _distribution(tmp_path, "models", "digits = d", "letters = l")
    with pytest.raises(NoModel, match=r"no model 'digts': did you mean digits\? Installed are digits, letters"):
        find(["digts"])
    with pytest.raises(NoModel, match="'zzz': Installed are digits, letters; or name a file"):
        find(["zzz"])


@pytest.mark.parametrize(
    "text", ["nosuch.module", "nosuch:Model", "a b", "..", "__main__", "nosuch.module:a b", "", "x:"]
)
def test_what_is_neither_installed_nor_importable_is_unknown(text: str) -> None:
    with pytest.raises(NoModel, match="no model"):
        find([text])


@pytest.mark.parametrize("text", ["nosuch.py", "folder/", "./model", "model.txt/", "folder/nosuch.py:Model"])
def test_a_file_that_is_not_there_is_told_by_its_whole_path(own_world: Path, text: str) -> None:
    (own_world / "folder").mkdir()
    with pytest.raises(NoModel, match=f"no Python file {own_world}"):
        find([text])


def test_a_file_may_be_asked_for_with_or_without_a_name_in_it(own_world: Path) -> None:
    _write(own_world / "sub" / "my model.py", "")
    refs = find(["sub/my model.py", "sub/my model.py:Digits", str(own_world / "sub" / "my model.py:a.Letters")])
    path = f"{own_world}/sub/my model.py"
    assert refs == [
        ModelRef("my-model", "file", path),
        ModelRef("digits", "file", f"{path}:Digits"),
        ModelRef("letters", "file", f"{path}:a.Letters"),
    ]


def test_a_packages_init_file_has_the_packages_name(own_world: Path) -> None:
    _write(own_world / ".hidden" / "__init__.py", "")
    assert find([".hidden/__init__.py"])[0].name == "hidden"


def test_a_module_may_be_asked_for_with_or_without_a_name_in_it() -> None:
    assert find(["json.decoder", "json.decoder:JSONDecoder"]) == [
        ModelRef("decoder", "module", "json.decoder"),
        ModelRef("jsondecoder", "module", "json.decoder:JSONDecoder"),
    ]


def test_an_installed_name_comes_before_a_module_of_that_name(tmp_path: Path) -> None:
    _distribution(tmp_path, "own", "json = own.model")
    assert find(["json"])[0].target == "own.model"


def test_what_is_asked_for_twice_is_found_once_and_two_of_one_name_are_an_error(own_world: Path) -> None:
    _write(own_world / "a" / "model.py", "")
    _write(own_world / "b" / "model.py", "")
    assert len(find(["a/model.py", "./a/model.py"])) == 1
    with pytest.raises(DiscoveryError, match=r"name 'model', .*/a/model\.py and .*/b/model\.py"):
        find(["a/model.py", "b/model.py"])


def test_a_class_is_instantiated_and_anything_else_is_as_it_is(own_world: Path) -> None:
    path = _write(own_world / "my_model.py", "class Model:\n    def predict(self): ...\nmodel = Model()\npredict = len")
    assert type(load(ModelRef("x", "file", f"{path}:Model"))).__name__ == "Model"
    loaded = load(ModelRef("x", "file", f"{path}:model"))
    assert type(loaded).__name__ == "Model"
    assert isinstance(load(ModelRef("x", "file", str(path))), types.ModuleType)


def test_a_file_imports_its_neighbours_as_a_script_does(own_world: Path) -> None:
    _write(own_world / "models" / "neighbour.py", "value = 7")
    path = _write(own_world / "models" / "mine.py", "import neighbour\npredict = lambda: neighbour.value")
    assert load(ModelRef("mine", "file", str(path))).predict() == 7
    assert sys.modules["mine"].__file__ == str(path)


def test_a_file_that_is_saved_twice_within_a_second_is_loaded_as_it_is_now(own_world: Path) -> None:
    path = _write(own_world / "mine.py", "def predict(): return 1")
    for value in (1, 2):
        path.write_text(f"def predict(): return {value}")
        os.utime(path, (0, 0))
        assert load(ModelRef("mine", "file", str(path))).predict() == value


def test_a_file_named_like_a_loaded_module_does_not_take_its_place(own_world: Path) -> None:
    import json

    path = _write(own_world / "json.py", "def predict(): return __name__")
    assert load(ModelRef("json", "file", str(path))).predict() == "modelserve_file_json"
    assert sys.modules["json"] is json


def test_a_file_that_fails_raises_its_own_error_and_leaves_no_module(own_world: Path) -> None:
    path = _write(own_world / "fails.py", "raise ValueError('no weights')")
    with pytest.raises(ValueError, match="no weights"):
        load(ModelRef("fails", "file", str(path)))
    assert "fails" not in sys.modules


def test_a_module_named_on_the_command_line_may_lie_in_the_working_directory(own_world: Path) -> None:
    _write(own_world / "local_package" / "model.py", "def predict(): return 1")
    (ref,) = find(["local_package.model"])
    assert load(ref).predict() == 1
    assert sys.path.count(str(own_world)) == 1
    load(ref)
    assert sys.path.count(str(own_world)) == 1


def test_an_entry_point_is_loaded_by_its_target(tmp_path: Path) -> None:
    _write(tmp_path / "site" / "dig.py", "class Outer:\n    class Model:\n        predict = len")
    _distribution(tmp_path / "site", "dig", "dig = dig:Outer.Model")
    assert load(installed()[0]).predict("abc") == 3


def test_a_missing_attribute_is_told_with_what_is_there(own_world: Path) -> None:
    path = _write(own_world / "mine.py", "from json import loads\nclass Letters: ...\nclass Digits: ...\n_private = 1")
    with pytest.raises(DiscoveryError, match=r"mine\.py has no attribute 'Digit'; did you mean Digits\?"):
        load(ModelRef("x", "file", f"{path}:Digit"))
    with pytest.raises(DiscoveryError, match=r"no attribute 'zzz'; it has Letters, Digits\."):
        load(ModelRef("x", "file", f"{path}:zzz"))
    with pytest.raises(DiscoveryError, match="it has no public names"):
        load(ModelRef("x", "file", f"{path}:Digits.zzz"))


def test_a_module_whose_model_is_a_class_in_it_says_how_to_name_it(own_world: Path) -> None:
    path = _write(own_world / "mine.py", "class Other: ...\nclass Digits:\n    def predict(self): ...")
    with pytest.raises(
        DiscoveryError, match=r"has no predict of its own; name a class in it, such as .*mine\.py:Digits"
    ):
        load(ModelRef("x", "file", str(path)))


def test_a_class_that_needs_arguments_says_so(own_world: Path) -> None:
    path = _write(
        own_world / "mine.py", "class Digits:\n    def __init__(self, path, n=1): ...\n    def predict(self): ..."
    )
    with pytest.raises(DiscoveryError, match=r"^The class Digits is made without arguments, but takes \(path, n=1\): "):
        load(ModelRef("x", "file", f"{path}:Digits"))


class Adder:
    """A model of a Python program."""

    step = 1

    def predict(self, x: int) -> int:
        return x + self.step


def test_a_class_and_an_object_are_carried_by_value() -> None:
    adder = Adder()
    adder.step = 5
    assert carry(Adder).name == "adder"
    assert load(carry(Adder)).predict(1) == 2
    assert load(carry(adder)).predict(1) == 6


def test_a_module_and_a_name_are_carried_by_name(own_world: Path) -> None:
    import json.decoder

    path = _write(own_world / "mine.py", "def predict(): ...")
    assert carry(json.decoder) == ModelRef("decoder", "module", "json.decoder")
    assert carry("mine.py") == ModelRef("mine", "file", str(path))


def test_what_only_the_main_program_has_reaches_another_process(own_world: Path) -> None:
    program = _write(
        own_world / "program.py",
        """
        import math, subprocess, sys
        import msgspec
        from modelserve.discovery import carry

        big = open(sys.argv[0])  # cannot be carried, and predict does not need it
        offset = 2

        class Base:
            def predict(self, x): return x + offset

        class Model(Base):
            def predict(self, x): return math.floor(super().predict(x))

        def predict(x): return x * offset

        worker = '''
        import sys, msgspec
        from modelserve.discovery import ModelRef
        from modelserve.loading import load
        print(load(msgspec.msgpack.decode(sys.stdin.buffer.read(), type=ModelRef)).predict(1.5))
        '''.replace("\\n        ", "\\n")
        for model in (Model, Model(), sys.modules["__main__"]):
            ref = carry(model)
            frame = msgspec.msgpack.encode(ref)
            done = subprocess.run([sys.executable, "-c", worker], input=frame, stdout=-1, check=True)
            print(ref.name, done.stdout.decode().strip())
        """,
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=False, timeout=50)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["model 3", "model 3", "main 3.0"]


def test_what_cannot_be_carried_is_one_sentence() -> None:
    adder = Adder()
    adder.generator = (x for x in "abc")  # type: ignore[attr-defined]
    with pytest.raises(DiscoveryError, match=r"Adder cannot be carried to a worker \(.*\): give its class"):
        carry(adder)


@pytest.mark.parametrize("what", [lambda x: x, None, {}, [1], "x".upper, 3])
def test_what_is_no_model_is_refused_where_it_is_given(what: Any) -> None:
    with pytest.raises(DiscoveryError, match="is no model: it has neither predict, predict_batch nor train"):
        carry(what)


def test_a_class_with_nothing_of_a_model_is_refused_once_there_is_an_object_of_it() -> None:
    class Later:
        def __init__(self) -> None:
            self.predict = lambda: 1

    class Nothing:
        predict = None

    assert load(carry(Later)).predict() == 1
    with pytest.raises(DiscoveryError, match="An object of type Nothing is no model"):
        load(carry(Nothing))


def test_a_file_with_nothing_of_a_model_is_refused(own_world: Path) -> None:
    (own_world / "n.py").write_text("x = 1\n")
    (ref,) = find(["n.py"])
    with pytest.raises(DiscoveryError, match=r"n\.py is no model"):
        load(ref)
