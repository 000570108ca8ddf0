"""FastAPI: pydantic validates requests and answers; ``def`` for the model, as its documentation says of what blocks."""

# mypy: disable-error-code="import-not-found, untyped-decorator, misc, no-any-unimported"

from __future__ import annotations

from functools import cache

from fastapi import FastAPI
from pydantic import BaseModel, Field

from benchmarks.peers import perceptron

app = FastAPI()


class Number(BaseModel):
    """The request of ``x + 1``."""

    x: int


class Sum(BaseModel):
    """Its answer."""

    y: int


class Vector(BaseModel):
    """The perceptron's request."""

    x: list[float] = Field(min_length=128, max_length=128)


class Scores(BaseModel):
    """Its answer."""

    y: list[float]


@cache
def _forward() -> perceptron.Forward:
    return perceptron.load()


@app.post("/adder")
async def adder(number: Number) -> Sum:
    """Add one."""
    return Sum(y=number.x + 1)


@app.post("/mlp")
def mlp(vector: Vector) -> Scores:
    """Predict."""
    return Scores(y=_forward()([vector.x])[0])
