"""A model that was written for DEEPaaS, as one that keeps our contract."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from modelserve.messages import AS_GIVEN, Description
from modelserve.v2.model import provides

__all__ = ["Adapted"]

logger = logging.getLogger(__name__)

# Other keys of packages that hold what one of ours means, as setuptools and the metadata of distributions spell them.
_OTHER_KEYS = {
    "description": ("summary",),
    "author": ("authors",),
    "url": ("home-page", "home_page", "homepage", "project-url"),
}
# Methods that a package often has only to say that it has not, and what they raise, as DEEPaaS 2.6.0 takes it.
_MAY_BE_UNIMPLEMENTED: dict[str, tuple[type[Exception], ...]] = {
    "warm": (NotImplementedError,),
    "get_predict_args": (NotImplementedError, AttributeError),
    "get_train_args": (NotImplementedError, AttributeError),
}
_KEYS = ("id", "name", "description", "license", "author", "version", "url")


class Adapted:
    """Has whatever the model has; what DEEPaaS bears of it does not end its start.

    Args:
        model: The model.
        name: The name it is served under.
    """

    def __init__(self, model: Any, name: str) -> None:
        self._model = model
        self._name = name
        self._others: dict[str, Any] = {}
        if provides(model, "predict"):
            self.predict = model.predict  # the way of each call need not go through __getattr__

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._model, name)
        errors = _MAY_BE_UNIMPLEMENTED.get(name)
        return _borne(found, errors) if errors and provides(self._model, name) else found

    def get_metadata(self) -> dict[str, Any]:
        """Return what the model says of itself; what is missing or cannot be read is said in general words."""
        given = self._said()
        texts = {key: text for key in _KEYS if (text := _text(_under(given, key)))}
        self._others = {str(key): value for key, value in given.items() if _is_other(key, value) and _is_json(value)}
        links = given.get("links")
        general = {"name": self._name, "description": f"The model {self._name}."}
        return {**general, **texts, **({"links": links} if isinstance(links, list) else {})}

    def completed(self, description: Description) -> Description:
        """Return the description with what ``get_metadata`` said under keys of its own, which clients may look for."""
        metadata = msgspec.structs.replace(description.metadata, others=self._others)
        return msgspec.structs.replace(description, metadata=metadata)

    def _said(self) -> Mapping[Any, Any]:
        try:
            given = self._model.get_metadata() if provides(self._model, "get_metadata") else {}
        except Exception:  # the model's own; it can predict all the same
            logger.warning("get_metadata() failed; the model is listed without its texts", exc_info=True)
            return {}
        if isinstance(given, Mapping):
            return given
        logger.warning("get_metadata() returned a %s instead of a dict", type(given).__name__)
        return {}


def _borne(method: Callable[..., Any], errors: tuple[type[Exception], ...]) -> Callable[..., Any]:
    @functools.wraps(method)
    def borne() -> Any:
        try:
            return method()
        except errors as error:
            trace = None if type(error) is NotImplementedError else error
            logger.warning("%s is taken for not implemented by the model", method.__name__, exc_info=trace)
            return None

    return borne


def _is_other(key: Any, value: Any) -> bool:
    """Return whether a value is shown as it is: also a list of authors, which elsewhere is one text."""
    if key in AS_GIVEN:
        return bool(value) and not isinstance(value, str)
    return key not in (*_KEYS, "links")


def _under(given: Mapping[Any, Any], key: str) -> Any:
    """Return the value of a key, of one of its other spellings, or of any of them in capital letters."""
    by_lower = {str(other).lower(): value for other, value in given.items()}
    found = (given.get(key), *(by_lower.get(each) for each in (key, *_OTHER_KEYS.get(key, ()))))
    return next((value for value in found if value), None)


def _text(value: Any) -> str:
    """Return a value as one text: the names of several authors, and of a mapping its keys."""
    if isinstance(value, list | tuple | set | Mapping):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
