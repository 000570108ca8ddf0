"""For model authors: their model behind a real server, and a check of the contract to inherit.

    from modelserve.testing import ContractCheck, served_model  # the second is a pytest fixture

    class TestMyModel(ContractCheck):
        model = "my-model"
        good_calls = [{"x": 1}]

It needs the extra ``testing`` (pytest and pytest-aiohttp). The server listens on a free port of 127.0.0.1 and its
workers are real processes; nothing is simulated.
"""

from __future__ import annotations

import contextlib
import json
import mimetypes
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from modelserve.discovery import carry
from modelserve.messages import Description
from modelserve.server import Server
from modelserve.settings import Settings

__all__ = ["ContractCheck", "Reply", "ServedModel", "served_model"]


class Reply(msgspec.Struct, frozen=True):
    """What the server answered."""

    status: int
    content_type: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body read as JSON."""
        return json.loads(self.body)


class ServedModel:
    """A model behind a real server, as an async context.

    Args:
        model: A module, class or object that provides the contract, or the name of an installed model.
        settings: Any setting of the server, by name. Without ``data_dir``, jobs are kept in a temporary folder.
    """

    def __init__(self, model: Any, **settings: Any) -> None:
        ref = carry(model)
        self.name = ref.name
        self._own_data = Path(tempfile.gettempdir()) / f"modelserve-data-{uuid.uuid4().hex}"
        chosen: dict[str, Any] = {"port": 0, "data_dir": str(self._own_data)} | settings
        self._server = Server([ref], Settings(**chosen))
        self._stack = contextlib.AsyncExitStack()

    @property
    def url(self) -> str:
        """The server's address, such as ``http://127.0.0.1:34567``."""
        return self._server.url

    @property
    def description(self) -> Description:
        """What the worker says of the model.

        Raises:
            AssertionError: The model could not be started; the message says why.
        """
        deployment = self._server.fleet.deployments[self.name]
        assert deployment.description is not None, (
            deployment.failure.traceback if deployment.failure else "the model is not started"
        )
        return deployment.description

    async def __aenter__(self) -> ServedModel:
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(shutil.rmtree, self._own_data, ignore_errors=True)
            await stack.enter_async_context(self._server)
            self._session = await stack.enter_async_context(aiohttp.ClientSession())
            await self._server.started()
            _ = self.description
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def request(self, method: str, path: str, **options: Any) -> Reply:
        """Send any request; options are those of ``aiohttp.ClientSession.request``."""
        async with self._session.request(method, self.url + path, **options) as response:
            return Reply(response.status, response.content_type, response.headers, await response.read())

    async def predict(self, arguments: Mapping[str, Any] | None = None, *, accept: str = "*/*") -> Reply:
        """Call predict: paths are sent as files in a multipart body, otherwise all is sent as JSON."""
        arguments = arguments or {}
        path, headers = f"/v2/models/{self.name}/predict/", {"Accept": accept}
        if not any(isinstance(value, Path) for value in arguments.values()):
            return await self.request("POST", path, json=dict(arguments), headers=headers)
        form = aiohttp.FormData()
        for name, value in arguments.items():
            if isinstance(value, Path):
                kind = mimetypes.guess_type(value.name)[0] or "application/octet-stream"
                form.add_field(name, value.read_bytes(), filename=value.name, content_type=kind)
            else:
                form.add_field(name, value if isinstance(value, str) else json.dumps(value))
        return await self.request("POST", path, data=form, headers=headers)


@pytest_asyncio.fixture
async def served_model() -> AsyncIterator[Callable[..., Awaitable[ServedModel]]]:
    """Yield a function that serves a model until the test ends: ``served = await served_model(MyModel)``."""
    async with contextlib.AsyncExitStack() as stack:

        async def serve(model: Any, **settings: Any) -> ServedModel:
            return await stack.enter_async_context(ServedModel(model, **settings))

        yield serve


@pytest.mark.asyncio
class ContractCheck:
    """What holds for every model. Inherit it in a class whose name starts with ``Test`` and set the two attributes."""

    #: The model to check, in any form that ``ServedModel`` takes.
    model: ClassVar[Any]

    #: Arguments of calls that must be answered with 200; a ``pathlib.Path`` is sent as a file.
    good_calls: ClassVar[Sequence[Mapping[str, Any]]] = ()

    @pytest_asyncio.fixture
    async def served(self) -> AsyncIterator[ServedModel]:
        """The model behind a real server."""
        async with ServedModel(type(self).model) as served:
            yield served

    async def test_it_describes_itself(self, served: ServedModel) -> None:
        reply = await served.request("GET", f"/v2/models/{served.name}/")
        assert reply.status == 200
        assert reply.json()["description"]

    async def test_every_argument_is_described_for_its_callers(self, served: ServedModel) -> None:
        silent = [argument.name for argument in served.description.predict if not argument.schema.get("description")]
        assert not silent, f"give these fields metadata={{'description': ...}}: {silent}"

    async def test_its_routes_are_in_the_openapi(self, served: ServedModel) -> None:
        paths = (await served.request("GET", "/openapi.json")).json()["paths"]
        assert f"/v2/models/{served.name}/predict/" in paths

    async def test_good_calls_are_answered(self, served: ServedModel) -> None:
        for arguments in self.good_calls:
            reply = await served.predict(arguments)
            assert reply.status == 200, f"{arguments} was answered {reply.status}: {reply.body[:500]!r}"

    async def test_missing_arguments_are_named(self, served: ServedModel) -> None:
        required = {argument.name for argument in served.description.predict if argument.required}
        if required:
            reply = await served.predict()
            assert reply.status == 422
            assert required <= set(reply.json())

    async def test_an_unknown_argument_is_refused_by_name(self, served: ServedModel) -> None:
        reply = await served.predict({"no_such_argument": 1})
        assert reply.status == 422
        assert "no_such_argument" in reply.json()
