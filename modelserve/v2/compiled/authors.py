"""Whether code of a model's author takes part in loading: then marshmallow alone may load, and nothing is compiled."""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import Any

from marshmallow import Schema, SchemaOpts
from marshmallow.decorators import POST_DUMP, POST_LOAD, PRE_DUMP, PRE_LOAD, VALIDATES, VALIDATES_SCHEMA

from modelserve.v2.compiled.refusal import NotCompiled

__all__ = ["require_own_field", "require_own_schema"]

_DUMP_HOOKS = (PRE_DUMP, POST_DUMP)
_HOOKS = (PRE_LOAD, POST_LOAD, VALIDATES, VALIDATES_SCHEMA)
# What a schema does when it is made shows in what it is made of.
_HARMLESS = ("__init__", "__repr__")
_METHODS = {
    name: member
    for name, member in vars(Schema).items()
    if isinstance(member, FunctionType | staticmethod | classmethod | property) and name not in _HARMLESS
}


def require_own_schema(schema: Schema, *, dumps: bool = False) -> None:
    """Do nothing for a schema that loads, and if it is to, dumps as marshmallow's own ``Schema`` does.

    Raises:
        NotCompiled: It has hooks, overrides a method, makes other dicts, or loads partially or with a context.
    """
    kind = type(schema)
    if any(schema._hooks.get(hook) for hook in (*_HOOKS, *(_DUMP_HOOKS if dumps else ()))):
        raise NotCompiled(f"{kind.__name__} has hooks")
    overridden = [name for name, own in _METHODS.items() if inspect.getattr_static(schema, name) is not own]
    if overridden or type(kind) is not type(Schema) or type(schema.opts) is not SchemaOpts:
        raise NotCompiled(f"{kind.__name__} overrides {', '.join(overridden) or 'how schemas are made'}")
    if schema.dict_class is not dict or schema.partial is not None or getattr(schema, "context", None):
        raise NotCompiled(f"{kind.__name__} has a dict_class, partial or context")


def require_own_field(field: Any) -> None:
    """Do nothing for a field whose methods are those of its class.

    Raises:
        NotCompiled: One of them was replaced on the instance.
    """
    replaced = [name for name in vars(field) if callable(getattr(type(field), name, None))]
    if replaced:
        raise NotCompiled(f"{', '.join(replaced)} of a field was replaced")
