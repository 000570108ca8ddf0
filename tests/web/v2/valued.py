"""A model that answers with the values of tests/v2/values.py by their names."""

from __future__ import annotations

from typing import Any

from modelserve.v2 import fields
from tests.v2.values import NULLED, REFUSED, SENT

VALUES: dict[str, Any] = {name: value for name, (value, _) in {**SENT, **NULLED, **REFUSED}.items()}


def get_metadata() -> dict[str, Any]:
    return {"name": "Valued", "description": "Returns values of all types."}


def get_predict_args() -> dict[str, Any]:
    return {"names": fields.List(fields.Str(), required=True)}


def get_train_args() -> dict[str, Any]:
    return get_predict_args()


def predict(names: list[str]) -> Any:
    return [VALUES[name] for name in names] if len(names) > 1 else VALUES[names[0]]


def train(names: list[str]) -> Any:
    return predict(names)
