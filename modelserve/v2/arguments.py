"""Arguments of a model: a call in, validated keyword arguments and the media type of the answer out.

    Call --[Merger]--> raw values --[the schema, compiled]--> Arguments, or REFUSED
                       what it refuses --[webargs, the schema itself]--> Arguments, or InvalidArguments

All that depends on the declaration alone is done once, when the parser is built.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, NoReturn, get_args

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, missing
from marshmallow import validate as validators
from webargs.core import Parser

from modelserve.errors import ContractError, InvalidArguments, ModelError
from modelserve.messages import Call
from modelserve.text import is_text, shown
from modelserve.v2.compiled import MUTABLE, REFUSED, anew, compile_schema
from modelserve.v2.fields import Field
from modelserve.v2.merging import Merger
from modelserve.v2.negotiation import choose, choose_any, is_range, within
from modelserve.v2.reading import location_of, wire_name
from modelserve.v2.whole_numbers import refuse_fractions

__all__ = ["ArgumentParser", "Arguments", "Declared", "UnknownRule"]

Declared = Mapping[str, Field] | Schema | type[Schema]  # type: ignore[type-arg]
UnknownRule = Literal["error", "ignore"]

# A body of 100,000 wrong items would otherwise be answered with as many sentences (marshmallow CVE-2025-68480).
MAX_MESSAGES = 20
# An unknown argument's name is the client's; a message repeats this much of it.
MAX_NAME = 100

_JSON = "application/json"
_ANY = "*/*"
_UNKNOWN = "Unknown field."  # marshmallow's own text; a schema that says otherwise keeps its words


class Arguments(NamedTuple):
    """Keyword arguments for the model, by the names it declared, and the media type its answer is to have."""

    values: dict[str, Any]
    media_type: str


class ArgumentParser:
    """Reads and validates the arguments of calls for one model.

    Args:
        declared: What ``get_predict_args`` returned: fields by name, or a marshmallow schema, class or instance. Fields
            that belong to another schema are copied; names need not be identifiers.
        unknown: What an argument that is not declared does: "error" is a 422 that names it, "ignore" drops it. A schema
            that says so itself (``Meta.unknown``, or an instance's ``unknown``) wins.
        takes_any_accept: Whether an Accept header that nothing fits gets the default instead of a refusal.
        drops_misplaced: Whether an argument that is given elsewhere than in its ``location`` is left out, not refused.

    Attributes:
        schema: The one marshmallow schema, built here.
        headers: Lower-case names of the request headers that arguments are read from; ``Accept`` is never one.
        accept: The wire name of a declared ``accept`` that is negotiated over, "" where there is none.
        reads_accept: Whether an argument is declared to be the Accept header.
        media_types: What the model can answer with, the default first: the choices of a declared ``accept`` argument,
            of which one may be a range such as ``image/*``, else JSON alone.

    Raises:
        ContractError: ``declared`` is none of these, a schema of many, or a mapping to something that is no field; or a
            field names an unknown location.
        ValueError: Two fields have one name.
    """

    def __init__(
        self,
        declared: Declared,
        *,
        unknown: UnknownRule = "error",
        takes_any_accept: bool = False,
        drops_misplaced: bool = False,
    ) -> None:
        self._choose = choose_any if takes_any_accept else choose
        self.schema, self._renamed = _build(declared)
        self._accept = _find_accept(self.schema)
        self.accept = self._accept.name if self._accept and self._accept.negotiated else ""
        self.reads_accept = self._accept is not None and self._accept.is_header
        self.media_types = self._accept.media_types if self._accept else (_JSON,)
        merger = Merger(self.schema, drops_misplaced=drops_misplaced)
        self.headers = merger.headers
        self._merge = self._merging(merger)
        rule = _unknown_option(self.schema, unknown)
        self._compiled = compile_schema(self.schema, rule) or _refuse
        refuse_fractions(self.schema)  # what is compiled does so itself, and only of fields that nobody has changed
        self._parser = _MergedParser(unknown=rule)
        self._mutable = list(_mutable_defaults(self.schema))

    def given(self) -> dict[str, bool] | None:
        """Return whether each call has an argument, by the name that the model gets it under.

        None where that is not known: the schema makes something else of what it loads.
        """
        schema = self.schema
        if type(schema).load is not Schema.load or any(
            "post_load" in key and schema._hooks[key] for key in schema._hooks
        ):
            return None
        negotiated = self._accept.key if self._accept and self._accept.negotiated else ""
        given: dict[str, bool] = {}
        for name, field in schema.load_fields.items():
            key = self._renamed.get(name, name) if field.attribute is None else field.attribute.partition(".")[0]
            given[key] = field.required or field.load_default is not missing or key == negotiated
        return given

    def parse(self, call: Call) -> Arguments:
        """Return the arguments of a call; those absent and without ``load_default`` are not in it.

        ``{"x": 1}`` for one Int takes about 1.3 us (timeit, Python 3.11).

        Raises:
            BadRequest: The query string, form or JSON body is malformed.
            UnsupportedMedia: The body is neither JSON nor a form.
            InvalidArguments: By wire name, what is wrong with each argument; at most ``MAX_MESSAGES`` sentences.
            NotAcceptable: The Accept header names nothing that the model can answer with.
        """
        media_type = "" if self._accept else self._choose(call.accept, self.media_types)
        try:
            merged = self._merge(call)
        except ValidationError as error:
            raise _invalid(error.messages, self.schema) from error
        values = self._compiled(merged)
        if values is REFUSED:
            try:
                values = self._parser.parse(self.schema, merged)
            except InvalidArguments as error:
                _hint_at_lists(error.fields, merged)
                raise
            for key, default, make in self._mutable:  # the schema itself gives each call the same
                if isinstance(values, dict) and values.get(key) is default:
                    values[key] = make()
        if type(values) is not dict and not isinstance(values, Mapping):
            raise ModelError("The model's argument schema does not give a mapping.", log=f"it gave {type(values)}")
        named = {self._renamed.get(name, name): value for name, value in values.items()} if self._renamed else values
        return Arguments(named, media_type or self._media_type(call, values))  # type: ignore[arg-type]

    def _media_type(self, call: Call, values: Mapping[str, Any]) -> str:
        given = values.get(self._accept.key) if self._accept else None
        chosen = given if given in self.media_types else self._choose(call.accept, self.media_types)
        return within(call.accept, chosen) if is_range(chosen) else chosen

    def _merging(self, merger: Merger) -> Callable[[Call], dict[str, Any]]:
        accept = self._accept
        if accept is None or not (accept.negotiated or accept.is_header):
            return merger.merge

        def merge_with_header(call: Call) -> dict[str, Any]:
            values = merger.merge(call)
            if call.accept:
                values[accept.name] = call.accept
            return values

        def merge_and_negotiate(call: Call) -> dict[str, Any]:
            values = merger.merge(call)
            if values.get(accept.name, _ANY) == _ANY:
                values[accept.name] = self._choose(call.accept, accept.media_types)
            return values

        return merge_and_negotiate if accept.negotiated else merge_with_header


class _MergedParser(Parser[dict[str, Any]]):
    """A webargs parser whose requests are the values of a call, merged; that is its one location too."""

    DEFAULT_LOCATION = "arguments"
    __location_map__ = {"arguments": "load_arguments"}

    def __init__(self, *, unknown: str | None) -> None:
        super().__init__(unknown=unknown)

    def load_arguments(self, req: dict[str, Any], schema: Schema) -> dict[str, Any]:
        return req

    def handle_error(self, error: ValidationError, req: dict[str, Any], schema: Schema, **kwargs: Any) -> NoReturn:
        # webargs puts the location around the messages; clients expect the names at top level
        raise _invalid(error.messages[self.location], schema) from error  # type: ignore[call-overload]


def _refuse(value: Any) -> Any:
    return REFUSED


def _invalid(messages: Any, schema: Schema) -> InvalidArguments:
    return InvalidArguments(_reported(messages, schema))


def _build(declared: Declared) -> tuple[Schema, dict[str, str]]:
    """Return the schema, and the names that stand in it for those that marshmallow has another use for."""
    renamed: dict[str, str] = {}
    if isinstance(declared, type) and issubclass(declared, Schema):
        schema = declared()
    elif isinstance(declared, Schema):
        schema = declared
    elif isinstance(declared, Mapping):
        own, renamed = _own_fields(declared)
        schema = Schema.from_dict(own, name="Arguments")()
    else:
        raise ContractError(f"Arguments are declared by a dict of fields or a marshmallow Schema, not {declared!r}.")
    if schema.many:
        raise ContractError("Arguments are one object, so their schema cannot have many=True.")
    for name in (wire_name(name, field) for name, field in schema.load_fields.items()):
        if not is_text(name):
            raise ContractError(
                f"The name of the argument {shown(name)!r} is no text, as it has half of a surrogate pair."
            )
    return schema, renamed


def _own_fields(declared: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    fields: dict[str, Any] = {}
    renamed: dict[str, str] = {}
    for name, declared_field in declared.items():
        if not isinstance(name, str):
            raise ContractError(f"Arguments are declared by a dict of fields, whose name must be a text, not {name!r}.")
        if not isinstance(declared_field, Field):
            raise ContractError(f"The argument {name!r} must be a field, such as fields.Int(), not {declared_field!r}.")
        field = _unbound(declared_field)
        # marshmallow makes nested dicts of dotted names, and a class attribute of Meta
        if "." in name or name == "Meta":
            field.data_key = wire_name(name, field)
            stand_in = f"argument {len(renamed)}"
            renamed[stand_in] = name
            fields[stand_in] = field
        else:
            fields[name] = field
    return fields, renamed


def _mutable_defaults(schema: Schema) -> Iterator[tuple[str, Any, Callable[[], Any]]]:
    """Yield the key, the default and what gives it anew, of each field whose default a model could change."""
    for name, field in schema.load_fields.items():
        if type(field.load_default) in MUTABLE:
            yield field.attribute or name, field.load_default, anew(field.load_default)


def _unbound(field: Any) -> Any:
    """Copy a field as if it had never belonged to a schema; the fields inside it too."""
    new = copy.copy(field)
    new.parent = new.name = new.root = None
    for inner in ("inner", "key_field", "value_field"):
        if isinstance(getattr(new, inner, None), Field):
            setattr(new, inner, _unbound(getattr(new, inner)))
    if hasattr(new, "tuple_fields"):
        new.tuple_fields = [_unbound(each) for each in new.tuple_fields]
    return new


def _unknown_option(schema: Schema, option: UnknownRule) -> str | None:
    """Return marshmallow's word for the option, None where the schema itself says what to do."""
    if option not in get_args(UnknownRule):
        raise ValueError(f'unknown must be "error" or "ignore", not {option!r}')
    if getattr(schema.Meta, "unknown", None) is not None or schema.unknown != schema.opts.unknown:
        return None
    return RAISE if option == "error" else EXCLUDE


class _Accept(NamedTuple):
    """A declared ``accept``: its name on the wire and its key among the values.

    It is ``negotiated`` over where there are choices; without them, where it ``is_header``, the header is its value.
    """

    name: str
    key: str
    media_types: tuple[str, ...]
    negotiated: bool
    is_header: bool


def _find_accept(schema: Schema) -> _Accept | None:
    for name, field in schema.load_fields.items():
        if name == "accept" or wire_name(name, field).lower() == "accept":
            choices = [each for each in _choices(field.validators) if isinstance(each, str) and _is_offer(each)]
            default = field.load_default
            # without choices the client's word is a value like any other, and never a content type
            fixed = default if isinstance(default, str) and _is_offer(default) and not is_range(default) else _JSON
            offered = tuple(sorted(choices, key=lambda choice: choice != default)) or (fixed,)
            is_header = location_of(field) == "headers"
            return _Accept(wire_name(name, field), field.attribute or name, offered, bool(choices), is_header)
    return None


def _is_offer(text: str) -> bool:
    """Return whether a choice is a media type or a range of one kind, and not ``*/*``, which is to leave the choice."""
    kind, _, name = text.partition("/")
    return bool(kind and name) and "*" not in kind and (name == "*" or "*" not in name)


def _choices(found: Any) -> Iterator[Any]:
    for each in found:
        if isinstance(each, validators.OneOf):
            yield from each.choices
        elif isinstance(each, validators.And):
            yield from _choices(each.validators)


def _reported(messages: Any, schema: Schema) -> dict[str, Any]:
    """Return marshmallow's messages as JSON can hold them, limited in number, unknown arguments in our words."""
    known = [wire_name(name, field) for name, field in schema.load_fields.items()]
    words = f"Unknown argument. Known are: {', '.join(known)}." if known else "Unknown argument. There are none."
    by_name = messages if isinstance(messages, Mapping) else {"_schema": messages}
    limit = _Limit(MAX_MESSAGES - 1)
    fields: dict[str, Any] = limit.copy_mapping(
        {name: [words] if found == [_UNKNOWN] and name not in known else found for name, found in by_name.items()}
    )
    if limit.over:
        more = f"There are more problems; the first {MAX_MESSAGES - 1} are listed."
        fields["_schema"] = [*fields.get("_schema", ()), more]
    return fields


def _hint_at_lists(fields: dict[str, Any], merged: Mapping[str, Any]) -> None:
    """Say how a list is given, where its one item is a text with a comma and not valid."""
    for name, found in fields.items():
        given = merged.get(name)
        if not isinstance(given, list) or len(given) != 1 or not isinstance(found, dict):
            continue
        if isinstance(given[0], str) and "," in given[0] and isinstance(found.get("0"), list):
            shown_name = _short(name)
            found["0"].append(f"Give several by repeating the name, {shown_name}=1&{shown_name}=2, or as JSON, [1,2].")


class _Limit:
    """Copies marshmallow's nested messages until there are enough of them; ``over`` once some were left out."""

    def __init__(self, left: int) -> None:
        self._left = left
        self.over = False

    def copy_mapping(self, found: Mapping[Any, Any]) -> dict[str, Any]:
        copies: dict[str, Any] = {}
        for name, inner in found.items():
            copied = self._copy(inner)
            if self.over and not copied:
                break
            copies[_short(str(name))] = copied
        return copies

    def _copy(self, found: Any) -> Any:
        if isinstance(found, Mapping):
            return self.copy_mapping(found)
        if isinstance(found, list | tuple):
            return self._copy_list(found)
        if self._left == 0:
            self.over = True
            return None
        self._left -= 1
        return str(found)

    def _copy_list(self, found: Sequence[Any]) -> list[Any]:
        copies: list[Any] = []
        for inner in found:
            copied = self._copy(inner)
            if self.over and not copied:
                break
            copies.append(copied)
        return copies


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[:MAX_NAME] + "..."
