"""A loaded model, as the server knows it: its Description.

    model, its argument parsers, its answer schema --> describe(...) --> Description

apispec turns the marshmallow fields into OpenAPI, once for 3.1 and once for Swagger 2.0. It runs in the worker, when it
starts, and never for a call.
"""

from __future__ import annotations

import copy
import itertools
import logging
import re
import warnings
from collections.abc import Mapping
from typing import Any

import marshmallow
import msgspec
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_cls, resolve_schema_instance
from apispec.ext.marshmallow.openapi import OpenAPIConverter

from modelserve.messages import Argument, Description, FileRule
from modelserve.v2.arguments import ArgumentParser
from modelserve.v2.fields import Field, NDArray, file_rule
from modelserve.v2.metadata import read_metadata
from modelserve.v2.model import METHODS, batch_size, concurrency, is_stream, provides
from modelserve.v2.properties import openapi, parameter, swagger
from modelserve.v2.reading import location_of, wire_name
from modelserve.v2.streaming import offered
from modelserve.v2.wire_schemas import correct, with_null

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
        writer = _Writer(is_null=nan_is_null)
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

    What is taken and what is sent of a field may differ. A schema that is nested in arguments and in answers, and is
    another there, has the answers' under a name of its own.
    """

    def __init__(self, *, is_null: bool) -> None:
        self._taken = _Document("3.1.0"), _Document("2.0")
        self._sent: tuple[_Document, ...] = ()
        self._sender = _AnswerConverterWithNull if is_null else _AnswerConverter

    def arguments(self, parser: ArgumentParser | None) -> list[Argument]:
        if parser is None:
            return []
        fields = parser.schema.load_fields.items()
        told = [self._argument(wire_name(name, field), field) for name, field in fields]
        return [_negotiated(each, parser.media_types[0]) if each.name == parser.accept else each for each in told]

    def response(self, schema: marshmallow.Schema | None) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Return the answer in both documents; the arguments have been written before."""
        if schema is None:
            return None, None
        for ending in itertools.chain(("", "Answer"), (f"Answer{number}" for number in itertools.count(2))):
            self._sent = new, old = tuple(
                _Document(version, converter=self._sender, ending=ending) for version in ("3.1.0", "2.0")
            )
            told = openapi(new.whole(schema)), swagger(old.whole(schema))
            if not any(taken.contradicts(sent) for taken, sent in zip(self._taken, self._sent, strict=True)):
                break
        return told

    def components(self) -> dict[str, Any]:
        documents = [self._taken[0], *self._sent[:1]]
        return {name: openapi(schema) for document in documents for name, schema in document.schemas.items()}

    def definitions(self) -> dict[str, Any]:
        documents = [self._taken[1], *self._sent[1:]]
        return {name: swagger(schema) for document in documents for name, schema in document.schemas.items()}

    def _argument(self, name: str, field: Field) -> Argument:  # type: ignore[type-arg]
        rule = file_rule(field)
        location = "form" if rule else location_of(field)
        return Argument(
            name=name,
            location=location,
            required=field.required,
            schema=openapi(self._taken[0].property(field)),
            parameter=self._parameter(name, location, field),
            file=rule,
        )

    def _parameter(self, name: str, location: str, field: Field) -> dict[str, Any]:  # type: ignore[type-arg]
        schema = swagger(self._taken[1].property(field))
        if file_rule(field):
            # Swagger 2.0 has no list of files, so that several are only told of
            schema = {"type": "file", "description": schema.get("description", "")}
        if location == "json":
            return {"in": "body", "name": name, "required": field.required, "schema": schema}
        # proxies drop headers with an underscore, and the dashed name is read as well
        on_wire = name.replace("_", "-") if location == "headers" else name
        return parameter(on_wire, _PLACES[location], field.required, schema)


class _Document:
    """One version's apispec, used for the schemas alone: of arguments, or of answers."""

    def __init__(self, version: str, *, converter: type[_Converter] | None = None, ending: str = "") -> None:
        plugin = MarshmallowPlugin(schema_name_resolver=_Names(ending).name)
        plugin.Converter = converter or _Converter
        self.spec = APISpec("", "", version, plugins=[plugin])
        made = plugin.converter
        assert made is not None  # the line above has called its init_spec
        self._converter: Any = made  # half of it has no types

    @property
    def schemas(self) -> dict[str, Any]:
        """The nested schemas, by name."""
        told = self.spec.to_dict()
        found: dict[str, Any] = told.get("components", {}).get("schemas", {}) or told.get("definitions", {})
        return found

    def contradicts(self, other: _Document) -> bool:
        """Tell whether a name means one schema here and another there."""
        mine, others = self.schemas, other.schemas
        return any(mine[name] != others[name] for name in mine.keys() & others.keys())

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
    """apispec's converter of arguments, with our fields, and without an author's default that cannot be written."""

    is_answer = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._inlined: list[type] = []

    def field2property(self, field: Field) -> dict[str, Any]:  # type: ignore[type-arg]
        told: dict[str, Any] = super().field2property(field)
        correct(told, field, self.field2property, is_answer=self.is_answer)
        if isinstance(field, NDArray):
            told.update(field.json_schema())
        if rule := file_rule(field):
            _tell_of_file(told, rule)
        return told

    def fields2jsonschema(self, fields: Any, *, partial: Any = None) -> dict[str, Any]:
        left_out = "load_only" if self.is_answer else "dump_only"
        kept = {name: field for name, field in fields.items() if not getattr(field, left_out)}
        told: dict[str, Any] = super().fields2jsonschema(kept, partial=partial)  # type: ignore[no-untyped-call]
        return told

    def schema2jsonschema(self, schema: Any) -> dict[str, Any]:
        told: dict[str, Any] = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        unknown = resolve_schema_instance(schema).unknown
        if unknown != marshmallow.EXCLUDE:  # apispec does not say so where the schema has a description
            told["additionalProperties"] = unknown == marshmallow.INCLUDE
        return told

    def nested2properties(self, field: Field, ret: Any) -> dict[str, Any]:  # type: ignore[type-arg]
        """Write out a nested schema whose field says otherwise than it what becomes of unknown keys."""
        unknown = getattr(field, "unknown", None)
        if not isinstance(field, marshmallow.fields.Nested) or isinstance(field, marshmallow.fields.Pluck):
            return dict(ret)
        if unknown is None or unknown == field.schema.unknown or type(field.schema) in self._inlined:
            return dict(super().nested2properties(field, ret))
        schema = copy.copy(field.schema)
        schema.unknown, schema.many = unknown, False
        self._inlined.append(type(schema))
        told = self.schema2jsonschema(schema)
        self._inlined.pop()
        return {**ret, **({"type": "array", "items": told} if field.schema.many else told)}

    def metadata2properties(self, field: Field, **kwargs: Any) -> dict[str, Any]:  # type: ignore[type-arg]
        told: dict[str, Any] = dict(super().metadata2properties(field, **kwargs))
        if "type" in kwargs["ret"]:
            told.pop("type", None)  # the field knows
        if field.allow_none and isinstance(told.get("enum"), list | tuple) and None not in told["enum"]:
            told["enum"] = [*told["enum"], None]
        return told

    def field2default(self, field: Field, **kwargs: Any) -> dict[str, Any]:  # type: ignore[type-arg]
        try:
            return dict(super().field2default(field, **kwargs))
        except Exception:  # fields of any kind serialize here; a date's default may already be its text
            return {"default": field.load_default}

    def init_attribute_functions(self) -> None:
        super().init_attribute_functions()  # type: ignore[no-untyped-call]
        rules = (self.field2choices, self.field2range, self.field2length, self.field2pattern)  # correct tells of them
        self.attribute_functions = [each for each in self.attribute_functions if each not in rules]


class _AnswerConverter(_Converter):
    """The same, of answers."""

    is_answer = True


class _AnswerConverterWithNull(_AnswerConverter):
    """The same, of answers in which null is sent for NaN."""

    def field2property(self, field: Field) -> dict[str, Any]:  # type: ignore[type-arg]
        told = super().field2property(field)
        with_null(told, field)
        return told


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
