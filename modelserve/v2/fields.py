"""Fields for arguments and answers: all of ``webargs.fields``, with lists that stop early, ``File`` and ``NDArray``.

    from modelserve.v2 import fields

    fields.Int(required=True), fields.File(media_types=("image/*",)), fields.NDArray(dtype="float32", shape=(None, 3))

Any field may say in ``metadata`` where alone it is read: ``{"location": "query"}``, or "form", "json", "headers".
"""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from typing import Any

import marshmallow.fields
import webargs.fields
from marshmallow import ValidationError

# What webargs.fields holds, in two steps: type checkers cannot follow its own list of names.
from marshmallow.fields import *  # noqa: F403
from marshmallow.fields import Field as Field
from webargs.fields import DelimitedTuple as DelimitedTuple

from modelserve.messages import FileRule
from modelserve.v2.arrays import Wanted, json_schema, to_array
from modelserve.v2.files import UploadedFile
from modelserve.v2.lists import DelimitedList as DelimitedList
from modelserve.v2.lists import List as List
from modelserve.v2.lists import Nested as Nested

__all__ = [*webargs.fields.__all__, "File", "NDArray", "file_rule"]

# What a part says that has no type to say; the type is then guessed from its file name.
_UNKNOWN_TYPES = ("", "application/octet-stream")
# The built-in table alone, so that every machine guesses the same.
_TYPES_BY_NAME = mimetypes.MimeTypes()


class File(Field):  # type: ignore[type-arg]  # generic in marshmallow 4 only
    """A file that the client uploads as a part of a multipart form.

    The value is an :class:`~modelserve.v2.files.UploadedFile`, with ``many`` a list of them: one upload gives a list of
    one. In the OpenAPI it is a binary string. It is never read from JSON, nor from text: a model that expects a file
    never gets a path of the client's choosing.

    Args:
        many: Whether the argument may be given several times, for a list.
        media_types: What is accepted, such as ``("image/png", "image/jpeg")`` or ``("image/*",)``; empty means any.
            It is what the part says of itself; a part that says nothing is judged by its file name. The content is not
            looked at, so a model still has to bear a file that lies.
        max_bytes: Size of the largest accepted file in bytes, 0 for no limit but the server's.
        kwargs: What every field takes: ``required``, ``validate``, ``metadata``...
    """

    default_error_messages = {
        "invalid": "Give a file here, as a part of a multipart form.",
        "many": "Give one file here, not {count}.",
        "media_type": "The file is of type {given}; accepted are {accepted}.",
        "max_bytes": "The file has {size} bytes; at most {limit} are accepted.",
    }

    def __init__(
        self, *, many: bool = False, media_types: Sequence[str] = (), max_bytes: int = 0, **kwargs: Any
    ) -> None:
        if isinstance(media_types, str):
            raise TypeError(f'media_types must be a list of media types, such as ["{media_types}"], not a string')
        super().__init__(**kwargs)
        self.rule = FileRule(many, [media_type.lower() for media_type in media_types], max_bytes)

    @property
    def is_multiple(self) -> bool:
        """Whether webargs collects repeated values into a list."""
        return self.rule.many

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        files = value if isinstance(value, list) else [value]
        if len(files) != 1 and not self.rule.many:
            raise self.make_error("many", count=len(files))
        for file in files:
            self._check(file)
        return files if self.rule.many else files[0]

    def _check(self, file: Any) -> None:
        if not isinstance(file, UploadedFile):
            raise self.make_error("invalid")
        media_type = _media_type(file)
        if self.rule.media_types and not any(_covers(each, media_type) for each in self.rule.media_types):
            accepted = ", ".join(self.rule.media_types)
            raise self.make_error("media_type", given=media_type or "unknown", accepted=accepted)
        if 0 < self.rule.max_bytes < file.size:
            raise self.make_error("max_bytes", size=file.size, limit=self.rule.max_bytes)


def _media_type(file: UploadedFile) -> str:
    said = file.content_type.partition(";")[0].strip().lower()
    if said not in _UNKNOWN_TYPES:
        return said
    return _TYPES_BY_NAME.guess_type(file.original_filename)[0] or said


def _covers(pattern: str, media_type: str) -> bool:
    return pattern in (media_type, "*/*") or (pattern.endswith("/*") and media_type.startswith(pattern[:-1]))


class NDArray(Field):  # type: ignore[type-arg]  # generic in marshmallow 4 only
    """A numpy array, made in one step of what JSON, a form or an upload holds.

    A client gives nested lists of numbers, or an array in numpy's npy format: in base64 as JSON or form text, or as an
    uploaded file. Nothing is unpickled, and an npy header that promises more than it holds costs no memory.

    Refused, with a sentence that says why: lists of different lengths; text, null or booleans for numbers; a number
    with a point where ``dtype`` is one of whole numbers; a number out of range of ``dtype``; another shape; NaN and
    infinity unless ``allow_nan``. Whole numbers are taken where floats are wanted.

    A list of 128 floats takes about 7 us to a float32 array (``python -m timeit`` over ``field.deserialize``, Python
    3.11, numpy 2.4), through ``List(Float)`` about 130.

    Args:
        dtype: Any number or boolean dtype of numpy, by name or object. None keeps int64, float64 or bool, as the values
            are in JSON.
        shape: Length of each axis, such as ``(None, 3)``; None or -1 is any length, ``()`` one number. Without it any
            shape is taken.
        allow_nan: Whether NaN and infinity are let through. JSON cannot hold them; an npy file can.
        kwargs: What every field takes. Validators are given the array.
    """

    def __init__(
        self,
        *,
        dtype: Any = None,
        shape: int | Sequence[int | None] | None = None,
        allow_nan: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        lengths = (shape,) if isinstance(shape, int) else shape
        self.wanted = Wanted(dtype, None if lengths is None else tuple(lengths), allow_nan)

    def json_schema(self) -> dict[str, Any]:
        """Return the OpenAPI 3.1 schema of the values a client may send.

        Raises:
            ImportError: numpy is not installed.
            TypeError: ``dtype`` is none of numbers or booleans.
        """
        schema = json_schema(self.wanted)
        return {"anyOf": [*schema["anyOf"], {"type": "null"}]} if self.allow_none else schema

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            return to_array(value, self.wanted)
        except ValueError as error:
            raise ValidationError(str(error)) from error

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return value.tolist() if hasattr(value, "tolist") else value


def file_rule(field: Field) -> FileRule | None:  # type: ignore[type-arg]
    """Return what a field that is a file accepts, None for any other field.

    Besides ``File`` that is DEEPaaS's ``Field(metadata={"type": "file", "location": "form"})``, and a ``List`` of
    either.
    """
    if isinstance(field, File):
        return field.rule
    if isinstance(field, marshmallow.fields.List):
        inner = file_rule(field.inner)
        return inner and FileRule(True, inner.media_types, inner.max_bytes)
    return FileRule() if field.metadata.get("type") == "file" else None
