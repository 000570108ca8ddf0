"""What the parts of a form stand for: JSON by its type, the charset that a browser fills in, the suffix of a file."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from modelserve.testing import Reply, ServedModel
from tests.web.parts import Parts

# As long as those of browsers are.
BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW12345"

JSON = "application/json"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncIterator[ServedModel]:
    async with ServedModel(Parts, max_body_bytes=100_000) as served:
        yield served


async def sent(served: ServedModel, *parts: tuple[str, str, dict[str, str]]) -> Reply:
    form = aiohttp.MultipartWriter("form-data", boundary=BOUNDARY)
    for name, content, about in parts:
        part = form.append(content, {"Content-Type": about["type"]} if "type" in about else {})
        names: dict[str, Any] = {key: about[key] for key in ("filename",) if key in about}
        part.set_content_disposition("form-data", name=name, **names)
    return await served.request("POST", f"/v2/models/{served.name}/predict/", data=form)


async def told(served: ServedModel, *parts: tuple[str, str, dict[str, str]]) -> Any:
    reply = await sent(served, *parts)
    assert reply.status == 200, reply.body
    return reply.json()["predictions"]


@pytest.mark.parametrize("filename", [{"filename": "x.json"}, {"filename": "blob"}, {}])
@pytest.mark.parametrize("kind", [JSON, "application/json; charset=utf-8", "application/x+json"])
async def test_a_part_that_says_that_it_is_json_is_one(
    served: ServedModel, filename: dict[str, str], kind: str
) -> None:
    about = {"type": kind, **filename}
    assert await told(served, ("about", '{"a": [1]}', about)) == {"about": {"a": [1]}}
    assert await told(served, ("names", '["a", "b"]', about)) == {"names": ["a", "b"]}
    assert await told(served, ("names[]", '["a", "b"]', about)) == {"names": ["a", "b"]}


async def test_for_a_text_it_is_a_text_and_for_a_file_a_file(served: ServedModel) -> None:
    assert await told(served, ("text", '{"a": 1}', {"type": JSON})) == {"text": '{"a": 1}'}
    assert await told(served, ("file", "{}", {"type": JSON, "filename": "x.json"})) == {"file": ".json"}


async def test_it_is_no_larger_than_a_body(served: ServedModel) -> None:
    reply = await sent(served, ("about", json.dumps({"a": "x" * 100_000}), {"type": JSON, "filename": "x.json"}))
    assert reply.status == 413


@pytest.mark.parametrize("place", [0, 1])
async def test_the_charset_of_a_browser_is_left_out(served: ServedModel, place: int) -> None:
    parts: list[tuple[str, str, dict[str, str]]] = [("text", "ä", {})]
    parts.insert(place, ("_charset_", "UTF-8", {}))
    assert await told(served, *parts) == {"text": "ä"}


@pytest.mark.parametrize(
    ("filename", "suffix"),
    [("a.wav", ".wav"), ("brain.nii.gz", ".nii.gz"), ("w.safetensors", ".safetensors"), ("a b.c d.png", ".png")],
)
async def test_a_file_keeps_its_suffixes(served: ServedModel, filename: str, suffix: str) -> None:
    assert await told(served, ("file", "x", {"filename": filename})) == {"file": suffix}
