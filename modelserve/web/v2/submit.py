"""POST train, and predict with ``Prefer: respond-async``: a request becomes a job, and the answer is its object.

    request -> Call -> a worker validates it -> files kept -> job stored -> 200, or 202 with its Location

The job is stored before the answer goes out. A client that leaves before leaves a whole job, or nothing.
"""

from __future__ import annotations

import asyncio
import uuid as uuids
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from aiohttp import web

from modelserve.errors import NoSpace, NotImplementedByModel
from modelserve.exact import from_json
from modelserve.jobs.job import Job, NewJob, Operation, Wanted
from modelserve.jobs.runner import Runner
from modelserve.messages import Argument, Call
from modelserve.runtime.fleet import Deployment
from modelserve.settings import Settings
from modelserve.web.callbacks import CALLBACK_URL, check_callback
from modelserve.web.calls import CallReader
from modelserve.web.failures import failure_response, log_failure
from modelserve.web.idempotency import idempotency_key
from modelserve.web.preferences import RESPOND_ASYNC
from modelserve.web.proxies import prefix_of
from modelserve.web.responses import json_response
from modelserve.web.upload_file import no_space
from modelserve.web.v2.fingerprint import fingerprint_of
from modelserve.web.v2.job_object import Show, show_job
from modelserve.web.v2.shown_args import shown_args

__all__ = ["Submit"]

# What a worker is asked, to validate the arguments of each operation without running it.
VALIDATE = {Operation.TRAIN: "train", Operation.PREDICT: "check"}


T = TypeVar("T")


class Submit:
    """Takes the requests for one deployment that become jobs.

    Args:
        deployment: Whose worker validates them.
        calls: Reads them.
        runner: Keeps and runs the jobs.
        settings: The deployment's.
        admit: Raises where a client that may predict may keep no jobs.
        show: Makes the object of a training.
    """

    def __init__(
        self,
        deployment: Deployment,
        calls: CallReader,
        runner: Runner,
        settings: Settings,
        admit: Callable[[web.Request, str], None] = lambda request, deployment: None,
        show: Show = show_job,
    ) -> None:
        self._deployment = deployment
        self._calls = calls
        self._runner = runner
        self._settings = settings
        self._admit = admit
        self._show = show

    async def train(self, request: web.Request) -> web.StreamResponse:
        """Answer with a new training.

        Raises:
            Conflict: The Idempotency-Key was another request's.
            NotImplementedByModel: The model does not train.
        """
        description = self._deployment.description
        if description is not None and "train" not in description.implements:
            raise NotImplementedByModel("This model does not provide train.")
        return await self._submit(request, Operation.TRAIN)

    async def predict(self, request: web.Request) -> web.StreamResponse:
        """Answer with a new background prediction.

        Raises:
            Conflict: The Idempotency-Key was another request's.
            Forbidden: The client may keep no jobs here.
            Unauthorized: Only a client that has a token may.
        """
        self._admit(request, self._deployment.name)
        return await self._submit(request, Operation.PREDICT)

    async def _submit(self, request: web.Request, operation: Operation) -> web.StreamResponse:
        key, call = idempotency_key(request.headers), self._calls.begin(request)
        callback_url = self._take_callback(call, operation)
        wanted = Wanted(self._deployment.name, operation, call.client_id, key)
        await self._runner.check_room(wanted, request.content_length or 0)
        uploads = await self._calls.read(request, call)
        model = self._runner.models[self._deployment.name]  # before it is asked: a reload may change it meanwhile
        try:
            answer = await self._deployment.check(msgspec.structs.replace(call, operation=VALIDATE[operation]))
            if answer.failure is not None:
                log_failure(answer.failure, call.request_id, self._deployment.name)
                return failure_response(answer.failure, call.request_id)
            new = self._new_job(call, operation, from_json(answer.body), callback_url)
            kept = self._keep(msgspec.structs.replace(new, model=model), call, key)
            return self._response(request, await _whole(kept))
        finally:
            if uploads is not None:
                uploads.remove()

    def _take_callback(self, call: Call, operation: Operation) -> str:
        """Take the callback's address off the query, unless the model has an argument of that name, and check it."""
        if CALLBACK_URL not in call.query or CALLBACK_URL in self._declared(operation):
            return ""
        given = [url for name, url in parse_qsl(call.query, keep_blank_values=True) if name == CALLBACK_URL]
        pairs = call.query.split("&")
        call.query = "&".join(pair for pair in pairs if unquote_plus(pair.partition("=")[0]) != CALLBACK_URL)
        return check_callback(given[-1], self._settings) if given else ""

    def _declared(self, operation: Operation) -> set[str]:
        """Return the names of the model's arguments."""
        description = self._deployment.description
        declared: list[Argument] = [] if description is None else getattr(description, operation.value)
        return {argument.name for argument in declared}

    def _fingerprint(self, new: NewJob, call: Call) -> str:
        """Return what tells whether a repeated request is the same; blocks.

        The media type that is asked for counts only where it is an argument: else the first request has it.
        """
        asked = call if "accept" in self._declared(new.operation) else msgspec.structs.replace(call, accept="")
        return fingerprint_of(asked, new.operation, new.callback_url)

    def _new_job(self, call: Call, operation: Operation, args: dict[str, Any], callback_url: str) -> NewJob:
        return NewJob(
            uuid=uuids.uuid4().hex,
            deployment=self._deployment.name,
            operation=operation,
            args=args,
            request_id=call.request_id,
            retries=self._settings.train_retries if operation is Operation.TRAIN else 0,
            callback_url=callback_url,
            client=call.client_id,
        )

    async def _keep(self, new: NewJob, call: Call, key: str) -> Job:
        """Store the job with its files; where it is not stored, the runner removes them."""
        fingerprint = await asyncio.to_thread(self._fingerprint, new, call) if key else ""
        request, size, is_filed = await self._keep_files(new.uuid, call)
        whole = msgspec.structs.replace(
            new,
            args=shown_args(new.args),
            request=request,
            request_bytes=size,
            place=self._runner.files.place if is_filed else "",
            fingerprint=fingerprint,
        )
        return await self._runner.submit(whole, key=key)

    async def _keep_files(self, uuid: str, call: Call) -> tuple[bytes, int, bool]:
        """Keep what is large of a call in files; return what is to be stored, the size of all, and if there are any."""
        files = self._runner.files
        try:
            with no_space():
                kept = await asyncio.to_thread(files.keep_uploads, uuid, call)
                encoded = msgspec.msgpack.encode(msgspec.structs.replace(kept, deadline=0.0))
                request = await asyncio.to_thread(files.keep_request, uuid, encoded)
        except NoSpace:
            await asyncio.to_thread(files.remove, uuid)
            raise
        size = len(encoded) + sum(part.size for part in kept.files)
        return request, size, bool(kept.files) or not request

    def _response(self, request: web.Request, job: Job) -> web.Response:
        shown = self._show(job) if job.operation is Operation.TRAIN else show_job(job)
        if job.operation is Operation.TRAIN:
            return json_response(shown)
        response = json_response(shown, status=202)
        path = prefix_of(request) + request.rel_url.raw_path
        response.headers["Location"] = f"{path.rstrip('/')}/{job.uuid}"
        response.headers["Preference-Applied"] = RESPOND_ASYNC
        return response


async def _whole(work: Coroutine[Any, Any, T]) -> T:
    """Do a piece of work to its end even where the client leaves in the middle of it."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        task.exception()
        raise
