"""Schemas as plain functions: what is plainly valid is loaded without marshmallow, to the very value it would give.

    marshmallow schema --[compile_schema, when the model is loaded]--> value --> the value loaded, or REFUSED

REFUSED says nothing about a value but that marshmallow has to look at it: it alone words errors, and it alone loads
what needs its whole machinery. A schema in which code of the model's author would run (hooks, overridden methods, own
fields and validators) is not compiled, so such code runs once, by marshmallow, as ever.

They are closures, one for each field: source text made for a schema and run by exec took 0.23 us for three scalars
where closures took 0.31 (timeit, CPython 3.11), and could not be read.
"""

from modelserve.v2.compiled.refusal import REFUSED
from modelserve.v2.compiled.schemas import MUTABLE, Load, anew, compile_schema

__all__ = ["MUTABLE", "REFUSED", "Load", "anew", "compile_schema"]
