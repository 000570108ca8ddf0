"""The requests of DEEPaaS's own web client, github.com/ai4os/deepaas_ui, which makes a form with gradio.

What it reads and sends was recorded from the client itself, with gradio 4.37.2, before this server; none of its code is
here. It reads of ``/swagger.json``

- the first path that ends in ``predict/``, its ``parameters`` and ``produces``, and of a parameter ``name``, ``type``,
  ``enum``, ``default``, ``minimum``, ``maximum`` and ``description``, but never ``in``,
- ``definitions.ModelPredictionResponse.properties`` for the fields of a JSON answer,

and it sends, to the path without its last slash,

- each argument but files in the query, a list by repeating its name, true and false as ``True`` and ``False``; nothing
  for what is empty or 0,
- files as parts of a form, with the media type that the name stands for,
- the media type of the tab that is open, as the header ``accept`` and once more in the query.

It counts its inputs by the parameters, of which ``accept`` has no input: one that is not the last shifts all others.
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from tests.running import Reply, Running, multipart

__all__ = ["FrontEnd"]

_INPUTS = {"string", "integer", "number", "boolean", "array", "file"}
_OUTPUTS = {"string", "integer", "number", "boolean", "array", "object"}
_TABS = ("application/", "image/", "audio/", "video/")


class FrontEnd:
    """The form of one model.

    Attributes:
        tabs: The media types of its tabs, in order.
        defaults: The value that each input shows at first, by name; of a list its text.
        outputs: The names of the fields of a JSON answer, none where all of it is shown.
    """

    def __init__(self, server: Running, name: str = "") -> None:
        document = server.get("/swagger.json").json()
        path = next(path for path in document["paths"] if path.endswith(f"{name}/predict/"))
        post = document["paths"][path]["post"]
        self._server = server
        self._path = path.rstrip("/")
        self._parameters = post["parameters"]
        self.tabs = [media_type for media_type in post["produces"] if media_type != "*/*"]
        self.defaults = {each["name"]: _shown(each) for each in self._parameters if each["name"] != "accept"}
        self.outputs = [*map(_output, _answer(document).items())]
        assert self.tabs
        assert all(media_type.startswith(_TABS) for media_type in self.tabs)

    def metadata(self) -> Any:
        """Return what it shows above the form: it asks under a path with three slashes."""
        reply = self._server.get(f"//{self._path.removesuffix('/predict')}/")
        if reply.status == 308:
            reply = self._server.get(reply.headers["Location"])
        assert reply.status == 200
        return reply.json()

    def send(self, tab: str, given: Mapping[str, Any]) -> Reply:
        """Return the response to the form as it is, but for what is given: a file as its name and content."""
        assert given.keys() <= self.defaults.keys()
        values = [given.get(name, default) for name, default in self.defaults.items()]
        query: list[tuple[str, Any]] = []
        files = {}
        for parameter, value in zip(self._parameters, values, strict=False):
            if not value and value is not False:
                continue
            if parameter["type"] == "file":
                name, content = value
                kind = mimetypes.guess_type(name)[0]
                files[parameter["name"]] = (name, content, kind or "application/octet-stream")
            else:
                sent = _sent(parameter["type"], value)
                query += [(parameter["name"], each) for each in (sent if isinstance(sent, list) else [sent])]
        headers = {"accept": tab}
        body = None
        if files:
            body, headers["Content-Type"] = multipart({}, files)
        return self._server.request(
            "POST", f"{self._path}?{urlencode([*query, ('accept', tab)], doseq=True)}", body, headers
        )


def _shown(parameter: Mapping[str, Any]) -> Any:
    kind = parameter.setdefault("type", "string")  # type: ignore[attr-defined]
    assert kind in _INPUTS, parameter
    assert isinstance(parameter.get("description", ""), str)
    default = parameter.get("default")
    return str(default) if kind == "array" and default is not None else default


def _sent(kind: str, value: Any) -> Any:
    if kind == "integer":
        return int(value)
    return json.loads(f"[{value}]") if kind == "array" else value


def _answer(document: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["definitions"].get("ModelPredictionResponse", {}).get("properties", {})
    return found


def _output(item: tuple[str, Any]) -> str:
    name, schema = item
    assert schema.get("type", "string") in _OUTPUTS, item
    return name
