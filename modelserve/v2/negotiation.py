"""Content negotiation: which of the offered media types an ``Accept`` header asks for (RFC 9110, section 12.5.1).

    Accept, what is offered --> choose(...) --> one of them --> within(...) --> of a range, the type named

Header text in, one media type out; no I/O. A model may offer a range, such as ``image/*``: any type in it meets it.
Malformed parts of a header are skipped, as nearly every server does.
"""

from __future__ import annotations

import re
from functools import lru_cache

from modelserve.errors import NotAcceptable

__all__ = ["choose", "choose_any", "is_fitting", "is_range", "nothing_fits", "within"]

# What is read of a header; real ones of browsers have about 150 characters. Bounds the time and the cache.
MAX_HEADER = 4096

_RANGE = re.compile(r"([\w!#$%&'*+.^`|~-]+)/([\w!#$%&'*+.^`|~-]+)", re.ASCII)
# Any count of digits, and none before the point: Java's URLConnection sends ``*; q=.2, */*; q=.2``.
_WEIGHT = re.compile(r"0?\.\d+|0\.?|1(?:\.0*)?", re.ASCII)


def choose(accept: str, offered: tuple[str, ...]) -> str:
    """Return the offered media type, or range of them, that the client prefers.

    Each offered type gets the weight of the most specific range that covers it (``image/png`` before ``image/*`` before
    ``*/*``; the highest one where a range is given twice); weight 0 excludes. The highest weight wins, and of equal
    weights the one offered first, so a server's default stays the default unless the client prefers another. Parameters
    other than ``q`` are ignored. An offered range gets the highest weight of the types that the header names within it
    and that are not offered themselves, or of the range that covers it. An absent header, ``*/*`` and a header of
    malformed parts alone give ``offered[0]``.

    Args:
        accept: The header's value, "" where absent.
        offered: Media types or ranges in the server's order; at least one.

    Raises:
        NotAcceptable: No offered type is covered, or all that are have weight 0.
    """
    if accept in ("", "*/*"):
        return offered[0]
    chosen = _choose(_bounded(accept), offered)
    if not chosen:
        raise nothing_fits(offered)
    return chosen


def nothing_fits(offered: tuple[str, ...]) -> NotAcceptable:
    """Return the error of an Accept header that none of the offered media types fits."""
    return NotAcceptable(f"Nothing fits the Accept header; this model can answer with {', '.join(offered)}.")


def is_fitting(accept: str, offered: tuple[str, ...]) -> bool:
    """Tell whether :func:`choose` would find one."""
    return accept in ("", "*/*") or bool(_choose(_bounded(accept), offered))


def choose_any(accept: str, offered: tuple[str, ...]) -> str:
    """Return as :func:`choose` does, and ``offered[0]`` where nothing fits."""
    return _choose(_bounded(accept), offered) or offered[0]


def is_range(media_type: str) -> bool:
    """Return whether this is a range of media types, as ``image/*`` is."""
    return media_type.endswith("/*")


def within(accept: str, offered: str) -> str:
    """Return the one media type of an offered range that the client prefers, the range where it names none, or several.

    >>> within("image/png, */*;q=0.1", "image/*")
    'image/png'

    Args:
        accept: The header's value.
        offered: What :func:`choose` returned; a media type that is no range is returned as it is.
    """
    return _within(_bounded(accept), offered) if is_range(offered) else offered


def _bounded(accept: str) -> str:
    """Cut a very long header after its last whole part."""
    return accept if len(accept) <= MAX_HEADER else accept[:MAX_HEADER].rpartition(",")[0]


@lru_cache(maxsize=256)
def _choose(accept: str, offered: tuple[str, ...]) -> str:
    weights = _weights(accept)
    if not weights:
        return offered[0]
    named = {_essence(each) for each in offered}
    best = max(offered, key=lambda media_type: _weight_of(media_type, weights, named))
    return best if _weight_of(best, weights, named) > 0 else ""


@lru_cache(maxsize=256)
def _within(accept: str, offered: str) -> str:
    weights = _weights(accept)
    inside = _inside(_essence(offered), weights)
    highest = max(inside.values(), default=0.0)
    best = [name for name, weight in inside.items() if weight == highest]
    return best[0] if len(best) == 1 and highest > 0 and highest >= _of_ranges(_essence(offered), weights) else offered


def _weights(accept: str) -> dict[str, float]:
    """Return the weight of each range of the header, by its lower-case name."""
    weights: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = _weight(parameters)
        name = "*/*" if name == "*" else name
        if weight is not None and _is_range(name):
            weights[name] = max(weight, weights.get(name, 0.0))
    return weights


def _is_range(name: str) -> bool:
    match = _RANGE.fullmatch(name)
    return match is not None and (match[1] != "*" or match[2] == "*")


def _weight(parameters: list[str]) -> float | None:
    """Return the value of ``q``, 1 where there is none, None where it is malformed."""
    for parameter in parameters:
        key, _, value = (piece.strip() for piece in parameter.partition("="))
        if key == "q":
            return float(value) if _WEIGHT.fullmatch(value) else None
    return 1.0


def _weight_of(media_type: str, weights: dict[str, float], offered: set[str]) -> float:
    name = _essence(media_type)
    if is_range(name):
        inside = _inside(name, weights)
        return max(_of_ranges(name, weights), *(weight for each, weight in inside.items() if each not in offered), 0.0)
    return weights[name] if name in weights else _of_ranges(name, weights)


def _of_ranges(name: str, weights: dict[str, float]) -> float:
    """Return the weight of the narrower of the two ranges that cover a type."""
    return weights.get(f"{name.partition('/')[0]}/*", weights.get("*/*", 0.0))


def _inside(offered: str, weights: dict[str, float]) -> dict[str, float]:
    """Return the weights of the types that are within an offered range."""
    return {name: weight for name, weight in weights.items() if name.startswith(offered[:-1]) and name != offered}


def _essence(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()
