"""The installed model behind a real server, called over HTTP, with only what modelserve.testing offers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from PIL import Image

from modelserve.testing import Reply, ServedModel

SAMPLES = Path(__file__).parent.parent / "samples"
PREDICT = "/v2/models/digits/predict/"

# One server, and so one event loop, for all tests of this file.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncIterator[ServedModel]:
    """The model under the name that its entry point gives it."""
    async with ServedModel("digits") as served:
        yield served


async def send(served: ServedModel, content: bytes | str, content_type: str | None = None, **options: Any) -> Reply:
    """Send a form whose ``image`` is a file of this type, or a text where there is no type."""
    form = aiohttp.FormData(default_to_multipart=True)
    filename = None if content_type is None else "digit.bin"
    form.add_field("image", content, filename=filename, content_type=content_type)
    return await served.request("POST", PREDICT, data=form, **options)


@pytest.mark.parametrize("label", range(10))
async def test_a_sample_sent_as_a_file_is_read_right(served: ServedModel, label: int) -> None:
    reply = await served.predict({"image": SAMPLES / f"{label}.png"})
    assert (reply.status, reply.content_type) == (200, "application/json")
    assert reply.json()["label"] == label
    assert len(reply.json()["predictions"]) == 3


@pytest.mark.parametrize("where", ["query", "form"])
async def test_top_k_may_be_given_in_the_query_or_the_form(served: ServedModel, where: str) -> None:
    if where == "form":
        reply = await served.predict({"image": SAMPLES / "chalk.jpg", "top_k": 1})
    else:
        chalk = (SAMPLES / "chalk.jpg").read_bytes()
        reply = await send(served, chalk, "image/jpeg", params={"top_k": "1"})
    assert reply.status == 200
    assert [candidate["label"] for candidate in reply.json()["predictions"]] == [4]


@pytest.mark.parametrize("top_k", [0, 11, "many"])
async def test_a_top_k_out_of_range_is_refused_by_name(served: ServedModel, top_k: int | str) -> None:
    reply = await served.predict({"image": SAMPLES / "1.png", "top_k": top_k})
    assert reply.status == 422
    assert "top_k" in reply.json()


@pytest.mark.parametrize("where", ["header", "query"])
async def test_a_chart_is_answered_where_a_png_is_asked_for(served: ServedModel, where: str) -> None:
    if where == "header":
        reply = await served.predict({"image": SAMPLES / "7.png"}, accept="image/png")
    else:
        seven = (SAMPLES / "7.png").read_bytes()
        reply = await send(served, seven, "image/png", params={"accept": "image/png"})
    assert (reply.status, reply.content_type) == (200, "image/png")
    with Image.open(BytesIO(reply.body)) as chart:
        assert (chart.format, chart.size) == ("PNG", (860, 460))


async def test_a_type_that_the_model_cannot_answer_with_is_406(served: ServedModel) -> None:
    assert (await served.predict({"image": SAMPLES / "7.png"}, accept="text/html")).status == 406


async def test_a_missing_file_is_named(served: ServedModel) -> None:
    reply = await served.predict({"top_k": 1})
    assert reply.status == 422
    assert "image" in reply.json()


async def test_a_text_where_the_file_belongs_is_refused(served: ServedModel) -> None:
    reply = await send(served, "/etc/hostname")
    assert reply.status == 422
    assert "image" in reply.json()


async def test_a_text_file_is_refused_by_its_media_type(served: ServedModel) -> None:
    reply = await send(served, b"just words\n", "text/plain")
    assert reply.status == 422
    assert "text/plain" in reply.json()["image"][0]


async def test_a_text_file_that_calls_itself_a_png_is_told_what_to_send(served: ServedModel) -> None:
    reply = await send(served, b"just words\n", "image/png")
    assert reply.status == 422
    assert reply.json()["image"] == ["This is no picture: send a PNG or JPEG file."]


async def test_one_bad_picture_among_many_calls_spoils_no_other(served: ServedModel) -> None:
    labels = [number % 10 for number in range(20)]
    good = [served.predict({"image": SAMPLES / f"{label}.png"}) for label in labels]
    *replies, bad = await asyncio.gather(*good, send(served, b"no picture", "image/png"))
    assert [reply.json()["label"] for reply in replies] == labels
    assert bad.status == 422


async def test_the_openapi_names_the_file_and_both_media_types_of_the_answer(served: ServedModel) -> None:
    predict = (await served.request("GET", "/openapi.json")).json()["paths"][PREDICT]["post"]
    form = predict["requestBody"]["content"]["multipart/form-data"]
    assert form["schema"]["properties"]["image"]["format"] == "binary"
    assert set(predict["responses"]["200"]["content"]) == {"application/json", "image/png"}
