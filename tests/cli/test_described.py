"""The arguments that a server publishes are those that its model declares."""

from __future__ import annotations

from typing import Any

from modelserve.cli.arguments import options
from modelserve.cli.described import train_arguments
from modelserve.messages import Argument, Description, FileRule, Metadata
from modelserve.web.openapi import build_openapi

NUMBER = {"type": "integer", "description": "How often.", "default": 3}


def argument(name: str, location: str = "", *, required: bool = False, **more: Any) -> Argument:
    file = more.pop("file", None)
    return Argument(name, location, required, more or dict(NUMBER), {}, file)


def published(*arguments: Argument, name: str = "toy") -> dict[str, Any]:
    metadata = Metadata("toy", "Toy", "A toy.")
    model = Description(metadata, implements=["train"], train=list(arguments))
    return build_openapi({name: model}, title="t", version="1", base_path="", jobs={name: ["train"]}, calls_back=True)


def told(*arguments: Argument) -> dict[str, Argument]:
    found = train_arguments(published(*arguments), "toy")
    assert found is not None
    return {item.name: item for item in found if item.name != "callback_url"}


def test_arguments_come_back_with_their_type_default_and_place() -> None:
    here = (
        argument("epochs"),
        argument("rate", "query", type="number"),
        argument("X_Key", "headers", type="string"),
        argument("only_form", "form", type="string"),
    )
    there = told(*here)
    assert there["epochs"] == here[0]
    assert there["rate"].location == "query"
    assert there["X-Key"].location == "headers"
    assert there["only_form"].location == "form"
    assert there.keys() == {"epochs", "rate", "X-Key", "only_form"}


def test_an_argument_that_only_json_can_carry_goes_there() -> None:
    there = told(argument("tree", "json", required=True, type="object"), argument("epochs"))
    assert there["tree"].location == "json"
    assert there["tree"].required
    assert there["epochs"].location in ("", "json")


def test_files_are_known_as_files() -> None:
    images = FileRule(many=True, media_types=["image/png", "image/jpeg"])
    there = told(argument("data", file=FileRule(), required=True), argument("images", file=images), argument("epochs"))
    assert there["data"].file == FileRule()
    assert there["images"].file == images
    assert there["data"].required
    assert there["epochs"].file is None


def test_what_the_route_reads_for_itself_is_no_argument_but_the_callback() -> None:
    found = train_arguments(published(argument("epochs")), "toy")
    assert found is not None
    assert [item.name for item in found] == ["epochs", "callback_url"]
    assert [option.opts[0] for _, option in options(found).values()] == ["--epochs", "--callback-url"]


def test_a_model_that_is_not_trained_there_has_none() -> None:
    assert train_arguments(published(), "other") is None
    assert train_arguments({}, "toy") is None


def test_a_name_is_found_as_it_is_quoted_in_a_path() -> None:
    assert train_arguments(published(name="a.b-c"), "a.b-c") is not None
