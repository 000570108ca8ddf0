"""Commands that ask a server with clients: the token comes from a file or the environment, and is never shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import Done, modelserve
from tests.web.guarded import Guarded, guarded


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("commands")) as there:
        yield there


def asked(there: Guarded, folder: Path, *words: str, token: str = "") -> Done:
    variables = {"MODELSERVE_TOKEN": token} if token else {}
    url = f"http://127.0.0.1:{there.server.port}"
    return modelserve(*words, "--url", url, folder=folder, variables=variables)


def test_jobs_and_trainings_are_asked_for_with_a_token(there: Guarded, tmp_path: Path) -> None:
    token = there.tokens["dora"]
    file = tmp_path / "token"
    file.write_text(f"{token}\n", encoding="utf-8-sig")
    trained = asked(there, tmp_path, "train", "mine", "--x", "3", "--json", "--token-file", str(file))
    assert (trained.status, '"client": "dora"' in trained.out) == (0, True), trained
    listed = asked(there, tmp_path, "jobs", "list", "mine", token=token)
    assert (listed.status, "done" in listed.out) == (0, True), listed
    assert token not in trained.out + trained.err + listed.out + listed.err


def test_without_a_token_the_refusal_says_how_to_give_one(there: Guarded, tmp_path: Path) -> None:
    for words in (("jobs", "list", "mine"), ("train", "mine")):
        done = asked(there, tmp_path, *words)
        assert done.status == 1
        assert "This needs a token" in done.err
        assert "Give one by --token-file FILE or by MODELSERVE_TOKEN in the environment." in done.err


def test_a_role_that_may_not_is_told_so(there: Guarded, tmp_path: Path) -> None:
    done = asked(there, tmp_path, "train", "mine", token=there.tokens["alice"])
    assert (done.status, "needs the role deployer" in done.err) == (1, True), done


def test_a_file_without_a_token_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "image").write_bytes(b"\x89PNG\r\n")
    for name, why in (
        ("nosuch", "cannot be read: No such file or directory"),
        ("empty", "must hold a token and nothing else"),
        ("image", "must hold a token and nothing else"),
    ):
        done = modelserve("jobs", "list", "mine", "--url", "http://127.0.0.1:1", "--token-file", name, folder=tmp_path)
        assert (done.status, why in done.err) == (2, True), done
