"""The installed model behind a real server, called over HTTP, with only what modelserve.testing offers."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from modelserve_digits_torch.training import held_out_squares
from numpy.typing import NDArray

from modelserve.testing import ServedModel

SQUARES, LABELS = held_out_squares()

# One server, and so one event loop, for all tests of this file.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncIterator[ServedModel]:
    """The model under the name that its entry point gives it."""
    async with ServedModel("digits-torch") as served:
        yield served


def npy(array: NDArray[np.float32]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


async def test_a_square_may_be_lists_of_numbers_or_npy_in_base64_or_an_uploaded_npy_file(
    served: ServedModel, tmp_path: Path
) -> None:
    (tmp_path / "digit.npy").write_bytes(npy(SQUARES[0]))
    ways = [SQUARES[0].tolist(), base64.b64encode(npy(SQUARES[0])).decode(), tmp_path / "digit.npy"]
    replies = [await served.predict({"square": way}) for way in ways]
    assert [reply.status for reply in replies] == [200] * 3
    assert {reply.json()["label"] for reply in replies} == {int(LABELS[0])}


async def test_a_picture_is_read(served: ServedModel, samples: Path) -> None:
    reply = await served.predict({"image": samples / "7.png", "top_k": 1})
    assert (reply.status, reply.json()["label"]) == (200, 7)


async def test_all_probabilities_come_as_an_npy_file_where_one_is_asked_for(served: ServedModel) -> None:
    reply = await served.predict({"square": SQUARES[0].tolist()}, accept="application/x-npy")
    assert (reply.status, reply.content_type) == (200, "application/x-npy")
    probabilities = np.load(io.BytesIO(reply.body))
    assert probabilities.shape == (10,)
    assert probabilities.dtype == np.float32
    assert probabilities.argmax() == LABELS[0]


@pytest.mark.parametrize("square", [[[0] * 8] * 7, [[17] + [0] * 7] + [[0] * 8] * 7, "no array", [["0"] * 8] * 8])
async def test_a_square_that_is_none_is_refused_by_name(served: ServedModel, square: object) -> None:
    reply = await served.predict({"square": square})
    assert reply.status == 422
    assert "square" in reply.json()


async def test_each_of_many_calls_gets_its_own_answer_and_a_bad_one_spoils_none(served: ServedModel) -> None:
    good = [served.predict({"square": square.tolist()}) for square in SQUARES[:100]]
    *replies, bad = await asyncio.gather(*good, served.predict())
    right = [reply.json()["label"] == label for reply, label in zip(replies, LABELS, strict=False)]
    assert sum(right) >= 97
    assert (bad.status, next(iter(bad.json()))) == (422, "image")
