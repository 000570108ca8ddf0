"""The page docs/reference/settings.md, made from the table of settings: ``python -m modelserve.cli.settings_page``."""

from __future__ import annotations

import click

from modelserve.settings import CONFIG_FILE, CONFIG_VARIABLE, FIELDS, Field, Kind, describe_value

__all__ = ["reference_markdown"]

_HEAD = f"""\
# Settings

<!-- Made by `python -m modelserve.cli.settings_page > docs/reference/settings.md`; a test compares the two. -->

A setting is taken from the first of these places that has it: the flag of `modelserve run`, the environment variable,
the key in the settings file, the default. The file is the one that `--config` or `{CONFIG_VARIABLE}` names, else
`{CONFIG_FILE}` in the working directory; its keys stand at the top of it, in no table. A key that is not listed here,
a value of another type or one out of range ends the start with status 2.

A relative path in the settings file is relative to that file's folder: certificates, folders, an interpreter, a file of
SQLite, and the file of a deployment's model. One in a flag or a variable is relative to the working directory.

A setting that is "per deployment" may also stand in a deployment's own table, `[deployments.NAME]`, which beats all
four places for that deployment. [Give each deployment its own settings](../how-to/deployments.md) says how.

Sizes are bytes, or a number and a unit: kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024).
Variables that Kubernetes sets for a Service called modelserve (`MODELSERVE_SERVICE_HOST`,
`MODELSERVE_PORT=tcp://...` and their like) are no settings and are passed over.
"""


def reference_markdown() -> str:
    """Return the page; a test compares it with the file."""
    return "\n".join([*_head(), *(line for field in FIELDS for line in _entry(field))])


def _head() -> list[str]:
    rows = [f"| [`{field.name}`](#{field.name}) | {_code(field.shown_default)} | {field.help} |" for field in FIELDS]
    return [_HEAD, "| setting | default | meaning |", "| --- | --- | --- |", *rows, ""]


def _entry(field: Field) -> list[str]:
    flag = f"{field.flag} / --no-{field.flag[2:]}" if field.kind is Kind.SWITCH else field.flag
    value = " or ".join(f"`{choice}`" for choice in field.choices) or describe_value(field)
    facts = {
        "flag": " or ".join(f"`{each}`" for each in (flag, *field.aliases)),
        "variable": f"`{field.variable}`",
        "key": f"`{field.name}`",
        "type": value,
        "default": _code(field.shown_default),
        "unit": field.unit or "none",
        "per deployment": "yes" if field.per_deployment else "no",
    }
    return [f"## {field.name}", "", field.help, "", *(f"- {name}: {fact}" for name, fact in facts.items()), ""]


def _code(text: str) -> str:
    return f"`{text}`" if text else "empty"


if __name__ == "__main__":
    click.echo(reference_markdown(), nl=False)
