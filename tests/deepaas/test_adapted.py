"""A model of DEEPaaS's contract, as one of ours."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from modelserve.deepaas import Adapted
from modelserve.messages import Description, Metadata
from modelserve.v2.model import BaseModel, provides


def module(**parts: Any) -> ModuleType:
    made = ModuleType("leaves")
    vars(made).update(parts)
    return made


def test_it_has_what_the_model_has_and_nothing_else() -> None:
    model = Adapted(module(predict=lambda x: x + 1, schema=None, max_batch_size=3), "leaves")
    assert model.predict(1) == 2
    assert model.max_batch_size == 3
    assert not any(provides(model, name) for name in ("warm", "train", "get_train_args", "get_predict_args"))
    assert provides(model, "get_metadata")


def test_what_a_class_inherits_from_the_base_is_not_provided() -> None:
    class Leaves(BaseModel):
        def get_metadata(self) -> dict[str, Any]:
            return {}

    assert not any(
        provides(Adapted(Leaves(), "leaves"), name) for name in ("warm", "train", "predict", "get_train_args")
    )


@pytest.mark.parametrize("method", ["warm", "get_predict_args", "get_train_args"])
def test_what_is_not_implemented_is_as_if_it_were_not_there(method: str) -> None:
    def refuse() -> None:
        raise NotImplementedError

    def fail() -> None:
        raise ValueError("broken")

    assert getattr(Adapted(module(**{method: refuse}), "leaves"), method)() is None
    with pytest.raises(ValueError, match="broken"):
        getattr(Adapted(module(**{method: fail}), "leaves"), method)()


def test_arguments_that_miss_an_attribute_are_none_and_the_log_says_where(caplog: pytest.LogCaptureFixture) -> None:
    model = module(warm=lambda: [].nothing, get_train_args=lambda: [].nothing)  # type: ignore[attr-defined]
    assert Adapted(model, "leaves").get_train_args() is None
    assert "'list' object has no attribute 'nothing'" in caplog.text
    with pytest.raises(AttributeError):
        Adapted(model, "leaves").warm()


@pytest.mark.parametrize("author", [["A", "B"], {"A": "a@b"}, 5])
def test_what_is_no_text_is_shown_as_it_is_and_is_a_text_where_one_belongs(author: Any) -> None:
    model = Adapted(module(get_metadata=lambda: {"author": author, "version": "", "license": None}), "leaves")
    assert isinstance(model.get_metadata()["author"], str)
    assert model.completed(Description(Metadata("l", "L", "d"), [])).metadata.others == {"author": author}


def fail() -> None:
    raise RuntimeError("no package")


@pytest.mark.parametrize("get_metadata", [fail, lambda: None, lambda: [1], dict, lambda: {"name": None}])
def test_metadata_that_cannot_be_had_is_said_in_general_words(get_metadata: Any) -> None:
    given = Adapted(module(get_metadata=get_metadata), "leaves").get_metadata()
    assert given == {"name": "leaves", "description": "The model leaves."}


def test_metadata_is_read_under_the_keys_that_packages_use() -> None:
    said = {
        "Name": "Leaves",
        "summary": "Tells leaves apart.",
        "authors": ["A", "B"],
        "License": "MIT",
        "version": 1.5,
        "Home-page": "https://example.org",
        "models": {"a": [1]},
        "odd": object(),
        "links": "none",
    }
    model = Adapted(module(get_metadata=lambda: said), "leaves")
    assert model.get_metadata() == {
        "name": "Leaves",
        "description": "Tells leaves apart.",
        "author": "A, B",
        "license": "MIT",
        "version": "1.5",
        "url": "https://example.org",
    }
    description = Description(Metadata("leaves", "Leaves", "Tells leaves apart."), [])
    others = model.completed(description).metadata.others
    assert others["models"] == {"a": [1]}
    assert others["authors"] == ["A", "B"]
    assert others["version"] == 1.5
    assert "license" not in others
    assert "odd" not in others
