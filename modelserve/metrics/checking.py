"""Checks what a worker says of its model's own metrics: only what Prometheus can read gets into the server's.

    Family --what_is_wrong--> "" or words that say why it cannot be shown

A hostile worker may say anything under any name; whatever gets through here is valid in Prometheus' text format.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection

from modelserve.messages import Family, Sample

__all__ = ["MOST_TEXT", "names_of", "what_is_wrong"]

# Characters that the name and the labels of one series may have together; with MOST_SERIES a bound of the memory.
MOST_TEXT = 8_192

# https://prometheus.io/docs/concepts/data_model/; a label that begins with two underscores is Prometheus' own.
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")

# What the names of a family's samples may end with, by its kind.
_ENDINGS: dict[str, tuple[str, ...]] = {
    "counter": ("_total", "_created"),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "gaugehistogram": ("_bucket", "_gsum", "_gcount"),
    "summary": ("", "_sum", "_count", "_created"),
    "info": ("_info",),
    "stateset": ("",),
    "unknown": ("",),
}

# The label that tells the series of one thing apart, by the ending of the names of those that must have it.
_BOUND = {("histogram", "_bucket"): "le", ("gaugehistogram", "_bucket"): "le", ("summary", ""): "quantile"}


def names_of(name: str, kind: str) -> frozenset[str]:
    """Return all names that a family of a known kind takes: no other family may have one of them."""
    return frozenset({name, *(name + ending for ending in _ENDINGS[kind])})


def what_is_wrong(family: Family, reserved: Collection[str]) -> str:
    """Return why a family cannot be shown, "" where it can.

    Args:
        family: What a worker has said.
        reserved: What no name may begin with.
    """
    if len(family.name) > MOST_TEXT or not _NAME.fullmatch(family.name):
        return "its name is no name of a metric"
    if family.kind not in _ENDINGS:
        return "its type is none of Prometheus'"
    if family.name.startswith(tuple(reserved)):
        return "its name is reserved for the server's own"
    return next(filter(None, (_wrong_with(family, sample) for sample in family.samples)), "")


def _wrong_with(family: Family, sample: Sample) -> str:
    ending = sample.name[len(family.name) :]
    if not sample.name.startswith(family.name) or ending not in _ENDINGS[family.kind]:
        return f"a {family.kind} has no series of such a name"
    if not all(_LABEL.fullmatch(label) for label in sample.labels):
        return "a label of it has a name that no label can have"
    if len(sample.name) + sum(len(name) + len(value) for name, value in sample.labels.items()) > MOST_TEXT:
        return f"a series of it has labels of more than {MOST_TEXT} characters"
    bound = _BOUND.get((family.kind, ending))
    if bound and not _is_number(sample.labels.get(bound, "")):
        return f"a series of it needs a number as its label {bound}"
    if family.kind == "counter" and not 0 <= sample.value < math.inf:
        return "a counter has a value that none can have"
    return ""


def _is_number(text: str) -> bool:
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False
