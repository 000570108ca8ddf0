"""Hand-made Descriptions of every kind of model, for the tests of what is published."""

from __future__ import annotations

from typing import Any

from modelserve.messages import Argument, Description, FileRule, Metadata

__all__ = ["HOSTILE_TEXTS", "argument", "boxes", "everything", "hostile", "plain", "silent", "vision"]

# What runs in a page that obeys a text instead of showing it. {host} is somebody else's server.
HOSTILE_TEXTS = (
    "<img src=x onerror=\"window.__pwned='img'\">",
    "</script><script>window.__pwned='script'</script>",
    "<svg onload=\"window.__pwned='svg'\">",
    "<a href=\"javascript:window.__pwned='a'\" class=bait>bait</a>",
    "[bait](javascript:window.__pwned='link')",
    "<javascript:window.__pwned='auto'>",
    "![bait](javascript:window.__pwned='image')",
    "<iframe srcdoc=\"<script>parent.__pwned='frame'</script>\"></iframe>",
    "<form action={host}/form><button formaction=\"javascript:window.__pwned='form'\" class=bait>bait</button></form>",
    "<style>@import url({host}/style.css);</style><link rel=stylesheet href={host}/link.css>",
    "<img src={host}/pixel.png>",
    "![bait]({host}/markdown.png)",
    "<base href={host}/><meta http-equiv=refresh content='0;url={host}/refresh'>",
    "{{constructor.constructor('window.__pwned=1')()}}",
    "'\"--><details open ontoggle=\"window.__pwned='details'\">",
)


def argument(
    name: str,
    schema: dict[str, Any],
    *,
    location: str = "",
    required: bool = False,
    file: FileRule | None = None,
    description: str = "",
) -> Argument:
    """Return an argument with a Swagger parameter as a worker writes it."""
    place = {"headers": "header", "form": "formData"}.get(location, "query")
    kind = schema.get("type")
    kind = kind if kind in ("integer", "number", "boolean", "array") else "string"
    text = {"description": description} if description else {}
    keys = () if file else ("enum", "default", "minimum", "maximum", "items")
    told: dict[str, Any] = {key: schema[key] for key in keys if key in schema} | text
    parameter = {"name": name, "in": place, "required": required, "type": "file" if file else kind, **told}
    return Argument(name, location, required, {**schema, **text}, parameter, file)


def silent() -> Description:
    """A model that takes no arguments."""
    return Description(metadata=Metadata("silent", "Silent", "Says the same every time."), implements=["predict"])


def plain() -> Description:
    """A model with a number, a list, and a header and a query parameter of their own."""
    nested = {"type": "object", "properties": {"a": {"type": "integer"}}}
    return Description(
        metadata=Metadata(
            "plain",
            "Plain",
            "Adds one, for x < 10.",
            license="MIT",
            author="Ada",
            version="1.2",
            url="https://example.org/p",
        ),
        implements=["predict"],
        predict=[
            argument("x", {"type": "integer", "minimum": 0}, required=True, description="What to add to."),
            argument("tags", {"type": "array", "items": {"type": "string"}}),
            argument("note", {"type": "string"}),
            argument("x_tenant", {"type": "string"}, location="headers", required=True),
            argument("limit", {"type": "integer", "default": 3}, location="query", description="How many."),
            argument("where", nested, location="query"),
            argument("weights", {"type": "array", "items": {"type": "number"}}, location="json"),
            argument("label", {"type": "string"}, location="form"),
        ],
        headers=["x-tenant"],
        response={"type": "object", "properties": {"y": {"type": "integer"}}, "additionalProperties": False},
        response_definition={"type": "object", "properties": {"y": {"type": "integer"}}},
    )


def vision(*, required: bool = True) -> Description:
    """A model with a file, several optional files, and a choice of media types."""
    picture = FileRule(media_types=["image/png", "image/jpeg"], max_bytes=1000)
    media_types = ["application/json", "image/png", "text/csv"]
    binary = {"type": "string", "format": "binary"}
    return Description(
        metadata=Metadata("vision", "Vision", "Looks at pictures."),
        implements=["predict"],
        predict=[
            argument("image", binary, location="form", required=required, file=picture, description="A picture."),
            argument("more", {"type": "array", "items": binary}, location="form", file=FileRule(many=True)),
            argument("top_k", {"type": "integer", "default": 3, "minimum": 1, "maximum": 10}),
            argument("note", {"type": "string"}),
            argument("scale", {"type": ["integer", "null"]}),
            argument("words", {"type": "array", "items": {"type": "string"}}),
            argument("accept", {"type": "string", "enum": media_types, "default": media_types[0]}),
        ],
        media_types=media_types,
        response={"$ref": "#/components/schemas/Item"},
        response_definition={"$ref": "#/definitions/Item"},
        components={"Item": {"type": "object", "properties": {"label": {"type": "string"}}}},
        definitions={"Item": {"type": "object", "properties": {"label": {"type": "string"}}}},
    )


def boxes() -> Description:
    """A model whose nested component has the name of another model's, and refers to itself."""

    def item(prefix: str) -> dict[str, Any]:
        children = {"type": "array", "items": {"$ref": f"{prefix}Item"}}
        return {"type": "object", "properties": {"box": {"type": "string"}, "children": children}}

    def response(prefix: str) -> dict[str, Any]:
        return {"type": "object", "properties": {"items": {"type": "array", "items": {"$ref": f"{prefix}Item"}}}}

    return Description(
        metadata=Metadata("boxes", "Boxes", "Draws boxes."),
        implements=["predict"],
        predict=[argument("item", {"$ref": "#/components/schemas/Item"}, required=True)],
        response=response("#/components/schemas/"),
        response_definition=response("#/definitions/"),
        components={"Item": item("#/components/schemas/")},
        definitions={"Item": item("#/definitions/")},
    )


def hostile(host: str = "https://evil.example") -> Description:
    """A model whose every text tries to run a script or to call another host."""
    text = "\n\n".join(HOSTILE_TEXTS).replace("{host}", host)
    first = HOSTILE_TEXTS[0]
    evil = {"type": "string", "title": text, "default": first, "enum": [first, *HOSTILE_TEXTS[1:]]}
    remote = {"type": "object", "properties": {first: {"$ref": f"{host}/schema.json"}, "ok": {"type": "string"}}}
    return Description(
        metadata=Metadata("hostile", text, text, license=text, author=text, version=first, url="javascript:alert(1)"),
        implements=["predict"],
        predict=[
            argument(first, {"type": "string"}, description=text),
            argument("choice", evil, description=text),
            argument("query", {"type": "string"}, location="query", description=text),
        ],
        response=remote | {"description": text},
        response_definition={"type": "object", "description": text, "properties": {"ok": {"type": "string"}}},
        components={first: {"type": "object", "description": text}},
        definitions={first: {"type": "object", "description": text}},
    )


def everything(host: str = "https://evil.example") -> dict[str, Description]:
    """Return all of them, by the names they are served under."""
    return {
        "silent": silent(),
        "plain": plain(),
        "vision": vision(),
        "boxes": boxes(),
        "hostile": hostile(host),
        "trains.only": Description(metadata=Metadata("t", "T", "Trains."), implements=["train"]),
    }
