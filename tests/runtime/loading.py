"""A model whose training reads its data through the worker processes of PyTorch's DataLoader."""

from __future__ import annotations

import os
from typing import Any, cast

import torch
from torch.utils.data import DataLoader
from webargs import fields

from modelserve.v2 import progress

ROWS, BATCH = 64, 8


class Rows:
    """Each row is its number and the process that has read it."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, number: int) -> torch.Tensor:
        return torch.tensor([number, os.getpid()])


def get_metadata() -> dict[str, str]:
    """Name the model."""
    return {"id": "loading", "name": "Loading", "description": "Reads rows through processes of its own."}


def get_predict_args() -> dict[str, Any]:
    """Take nothing."""
    return {}


def predict() -> str:
    """Answer anything."""
    return "nothing"


def get_train_args() -> dict[str, Any]:
    """Take how the processes are started."""
    return {"context": fields.Str(required=True)}


def train(context: str) -> dict[str, int]:
    """Read all rows and count them, and the other processes that have read them."""
    rows, readers = 0, set[int]()
    for batch in DataLoader(cast(Any, Rows()), BATCH, num_workers=2, multiprocessing_context=context):
        rows += len(batch)
        readers |= set(batch[:, 1].tolist())
        progress(rows / ROWS)
    return {"rows": rows, "readers": len(readers - {os.getpid()})}
