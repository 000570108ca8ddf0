"""A loaded model, as the server knows it: its Description.

    model, its argument parsers, its answer schema --> describe(...) --> Description

apispec turns the marshmallow fields into OpenAPI, once for 3.1 and once for Swagger 2.0. It runs in the worker, when it
starts, and never for a call.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Mapping
from typing import Any

import marshmallow
import msgspec
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_cls
from apispec.ext.marshmallow.openapi import OpenAPIConverter

from modelserve.messages import Argument, Description, FileRule
from modelserve.v2.arguments import ArgumentParser
from modelserve.v2.fields import Field, NDArray, file_rule
from modelserve.v2.metadata import read_metadata
from modelserve.v2.model import METHODS, batch_size, concurrency, is_stream, provides
from modelserve.v2.properties import openapi, parameter, swagger
from modelserve.v2.reading import location_of, wire_name
from modelserve.v2.streaming import offered
from modelserve.v2.wire_schemas import allows_nan, correct, with_null

__all__ = ["describe"]

logger = logging.getLogger(__name__)

_PLACES = {"": "query", "query": "query", "form": "formData", "headers": "header"}


def describe(
    model: Any,
    *,
    name: str,
    distribution: Mapping[str, str],
    parser: ArgumentParser | None,
    train_parser: ArgumentParser | None,
    renderer_schema: marshmallow.Schema | None,
    nan_is_null: bool = False,
) -> Description:
    """Return all that the server needs to know of a model; calls its ``get_metadata``.

    Args:
        model: The model.
        name: Its deployment's name.
        distribution: The metadata of the package it came in, as far as known; see :func:`read_metadata`.
        parser: Parser of predict's arguments, None where it does not predict.
        train_parser: Parser of train's arguments, None where it does not train.
        renderer_schema: Schema of its JSON answers, None for the default envelope.
        nan_is_null: Whether null is sent for NaN in its answers.

    Raises:
        ContractError: The metadata or ``max_batch_size`` breaks the contract.
        Exception: What ``get_metadata`` raises, or a nested schema that cannot be built.
    """
    metadata = read_metadata(model, name=name, distribution=distribution)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # apispec warns of what the author may do as well
        writer = _Writer(is_null=nan_is_null and renderer_schema is not None and allows_nan(renderer_schema))
        predict = writer.arguments(parser)
        train = writer.arguments(train_parser)
        response, response_definition = writer.response(renderer_schema)
    return Description(
        metadata=metadata,
        implements=_implements(model),
        predict=predict,
        train=train,
        media_types=_media_types(model, parser),
        response=response,
        response_definition=response_definition,
        components=writer.components(),
        definitions=writer.definitions(),
        max_batch_size=batch_size(model),
        headers=_headers(parser, train_parser),
        max_concurrency=concurrency(model),
        streams=is_stream(model),
    )


def _media_types(model: Any, parser: ArgumentParser | None) -> list[str]:
    if parser is None:
        return ["application/json"]
    return list(offered(parser.media_types) if is_stream(model) else parser.media_types)


def _headers(*parsers: ArgumentParser | None) -> list[str]:
    return list(dict.fromkeys(name for parser in parsers if parser is not None for name in parser.headers))


def _negotiated(accept: Argument, default: str) -> Argument:
    """Return an argument that is negotiated over with its default: it need not be given, even where it is required."""
    schema, parameter = ({"default": default, **each} for each in (accept.schema, accept.parameter))
    return msgspec.structs.replace(accept, required=False, schema=schema, parameter=parameter | {"required": False})


def _implements(model: Any) -> list[str]:
    provided = {name for name in METHODS if provides(model, name)}
    if "predict_batch" in provided:
        provided.add("predict")
    return [name for name in METHODS if name in provided]


class _Writer:
    """Both documents of one model, written side by side so that their names of nested schemas are the same.

    Where null is sent for NaN, a schema that is nested in arguments and in answers is another one there.
    """

    def __init__(self, *, is_null: bool) -> None:
        self._new, self._old = _Document("3.1.0"), _Document("2.0")
        self._sent = (_Document("3.1.0", is_null=True), _Document("2.0", is_null=True)) if is_null else None

    def arguments(self, parser: ArgumentParser | None) -> list[Argument]:
        if parser is None:
            return []
        fields = parser.schema.load_fields.items()
        told = [self._argument(wire_name(name, field), field) for name, field in fields]
        return [_negotiated(each, parser.media_types[0]) if each.name == parser.accept else each for each in told]

    def response(self, schema: marshmallow.Schema | None) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        if schema is None:
            return None, None
        new, old = self._sent or (self._new, self._old)
        return openapi(new.whole(schema)), swagger(old.whole(schema))

    def components(self) -> dict[str, Any]:
        documents = [self._new, *(self._sent[:1] if self._sent else ())]
        found = [document.spec.to_dict().get("components", {}).get("schemas", {}) for document in documents]
        return {name: openapi(schema) for schemas in found for name, schema in schemas.items()}

    def definitions(self) -> dict[str, Any]:
        documents = [self._old, *(self._sent[1:] if self._sent else ())]
        found = [document.spec.to_dict().get("definitions", {}) for document in documents]
        return {name: swagger(schema) for schemas in found for name, schema in schemas.items()}

    def _argument(self, name: str, field: Field) -> Argument:  # type: ignore[type-arg]
        rule = file_rule(field)
        location = "form" if rule else location_of(field)
        return Argument(
            name=name,
            location=location,
            required=field.required,
            schema=openapi(self._new.property(field)),
            parameter=self._parameter(name, location, field),
            file=rule,
        )

    def _parameter(self, name: str, location: str, field: Field) -> dict[str, Any]:  # type: ignore[type-arg]
        schema = swagger(self._old.property(field))
        if file_rule(field):
            # Swagger 2.0 has no list of files, so that several are only told of
            schema = {"type": "file", "description": schema.get("description", "")}
        if location == "json":
            return {"in": "body", "name": name, "required": field.required, "schema": schema}
        # proxies drop headers with an underscore, and the dashed name is read as well
        on_wire = name.replace("_", "-") if location == "headers" else name
        return parameter(on_wire, _PLACES[location], field.required, schema)


class _Document:
    """One version's apispec, used for the schemas alone; with ``is_null``, for answers that have null for NaN."""

    def __init__(self, version: str, *, is_null: bool = False) -> None:
        plugin = (_AnswerPlugin if is_null else _Plugin)(schema_name_resolver=_Names("Answer" if is_null else "").name)
        self.spec = APISpec("", "", version, plugins=[plugin])
        converter = plugin.converter
        assert converter is not None  # the line above has called its init_spec
        self._converter: Any = converter  # half of it has no types

    def property(self, field: Field) -> dict[str, Any]:  # type: ignore[type-arg]
        told: dict[str, Any] = self._converter.field2property(field)
        return told

    def whole(self, schema: marshmallow.Schema) -> dict[str, Any]:
        document: dict[str, Any] = self._converter.schema2jsonschema(schema)
        return {"type": "array", "items": document} if schema.many else document


class _Names:
    """Names of nested schemas: by their class, without Schema at its end, and with a number from the second on."""

    def __init__(self, ending: str = "") -> None:
        self._ending = ending
        self._taken: set[str] = set()

    def name(self, schema: Any) -> str:
        kind: Any = resolve_schema_cls(schema)
        base = re.sub(r"[^A-Za-z0-9._-]", "_", kind.__name__.removesuffix("Schema")) or "Schema"
        base += self._ending
        name, number = base, 1
        while name in self._taken:
            number += 1
            name = f"{base}{number}"
        self._taken.add(name)
        return name


class _Converter(OpenAPIConverter):
    """apispec's converter, with our fields, and where an author's default or choice cannot be written, without it."""

    def field2property(self, field: Field) -> dict[str, Any]:  # type: ignore[type-arg]
        told: dict[str, Any] = super().field2property(field)
        correct(told, field, self.field2property)
        if isinstance(field, NDArray):
            told.update(field.json_schema())
        if rule := file_rule(field):
            _tell_of_file(told, rule)
        return told

    def field2default(self, field: Field, **kwargs: Any) -> dict[str, Any]:  # type: ignore[type-arg]
        try:
            return dict(super().field2default(field, **kwargs))
        except Exception:  # fields of any kind serialize here; a date's default may already be its text
            return {"default": field.load_default}

    def field2choices(self, field: Field, **kwargs: Any) -> dict[str, Any]:  # type: ignore[type-arg]
        try:
            return dict(super().field2choices(field, **kwargs))
        except TypeError:  # choices that cannot be hashed
            logger.warning("the choices of the argument %r are not published", field.name)
            return {}

    def field2range(self, field: Field, ret: dict[str, Any]) -> dict[str, Any]:  # type: ignore[type-arg]
        try:
            told = dict(super().field2range(field, ret))
        except Exception:  # as in field2default
            logger.warning("the limits of the argument %r are not published", field.name)
            return {}
        for limit, side in (("minimum", "min"), ("maximum", "max")):
            exclusive = [v for v in field.validators if getattr(v, f"{side}_inclusive", True) is False]
            if limit in told and any(getattr(v, side) == told[limit] for v in exclusive):
                told[f"exclusive{limit.capitalize()}"] = True
        return told


class _AnswerConverter(_Converter):
    """The same, for answers in which null is sent for NaN."""

    def field2property(self, field: Field) -> dict[str, Any]:  # type: ignore[type-arg]
        told = super().field2property(field)
        with_null(told, field)
        return told


class _Plugin(MarshmallowPlugin):
    Converter = _Converter


class _AnswerPlugin(MarshmallowPlugin):
    Converter = _AnswerConverter


def _tell_of_file(told: dict[str, Any], rule: FileRule) -> None:
    one = {"type": "string", "format": "binary"}
    for key in ("type", "format", "items", "default", "enum"):
        told.pop(key, None)
    told.update({"type": "array", "items": one} if rule.many else one)
    sentences = [told.get("description"), "Several files may be given." if rule.many else ""]
    if rule.media_types:
        sentences.append(f"Accepted: {', '.join(rule.media_types)}.")
    if rule.max_bytes:
        sentences.append(f"At most {rule.max_bytes} bytes.")
    told["description"] = " ".join(str(sentence) for sentence in sentences if sentence)
    if not told["description"]:
        del told["description"]
