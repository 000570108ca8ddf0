"""A worker process spoken to over a bare socket pair, without the server's handle."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

from modelserve.discovery import ModelRef
from modelserve.frames import Receiver, encode
from modelserve.messages import Answer, Answers, Call, Calls, Cancel, Check, More, Part, Stage, decode_server_bound
from modelserve.runtime import boot
from modelserve.runtime.interface import WorkerSpec
from modelserve.runtime.launch import added_paths, launch

__all__ = ["ASYNC", "ASYNC_STREAM", "BATCH", "KEYED", "STREAM", "Child", "code_of", "predictions"]

BATCH = ModelRef("chaos-batch", "module", "modelserve_chaos_batch.model:ChaosBatch")
KEYED = ModelRef("chaos-keyed", "module", "modelserve_chaos_batch.keyed:ChaosKeyed")
STREAM = ModelRef("chaos-stream", "module", "modelserve_chaos_stream:ChaosStream")
ASYNC = ModelRef("chaos-async", "module", "modelserve_chaos_async.model:ChaosAsync")
ASYNC_STREAM = ModelRef("chaos-async-stream", "module", "modelserve_chaos_async.stream:ChaosAsyncStream")


class Child:
    """A worker process and the server's ends of its pipes."""

    def __init__(self, wanted: WorkerSpec, scratch: Path) -> None:
        self.channel, theirs = socket.socketpair()
        self.channel.settimeout(20)
        their_life, self.life = os.pipe()
        memory = boot.Counter.memory()
        self.begun = boot.Counter(memory)
        self.process: subprocess.Popen[bytes] = launch(wanted, (theirs.fileno(), their_life, memory), str(scratch))
        theirs.close()
        os.close(their_life)
        os.close(memory)
        self.channel.sendall(boot.pack(added_paths(), boot.Boot(wanted, str(scratch))))
        self.stages: list[str] = []
        self._receiver = Receiver(decode_server_bound)
        self._messages: list[Any] = []

    def read(self) -> Any:
        """Return the next message that is no stage, None once the worker has closed the channel."""
        while True:
            while not self._messages:
                count = self.channel.recv_into(self._receiver.buffer())
                if not count:
                    return None
                self._messages += self._receiver.received(count)
            message = self._messages.pop(0)
            if not isinstance(message, Stage):
                return message
            self.stages.append(message.stage)

    def is_silent(self, seconds: float) -> bool:
        """Return whether nothing comes for so long."""
        self.channel.settimeout(seconds)
        try:
            return not self._messages and not self.channel.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.channel.settimeout(20)

    def send(self, *calls: Call) -> None:
        self.say(Calls(list(calls)))

    def say(self, message: Calls | Cancel | More | Check) -> None:
        self.channel.sendall(b"".join(encode(message)))

    def answers(self, count: int) -> dict[int, Answer]:
        """Return that many answers by their ids."""
        found: dict[int, Answer] = {}
        while len(found) < count:
            message = self.read()
            assert isinstance(message, Answers)
            assert message.busy_ns > 0
            found |= {answer.id: answer for answer in message.answers}
        return found

    def parts(self, count: int = 1_000_000) -> list[Part]:
        """Return so many parts, or those up to the last."""
        found: list[Part] = []
        while len(found) < count and not (found and found[-1].last):
            message = self.read()
            assert isinstance(message, Part), message
            found.append(message)
        return found

    def status(self) -> int:
        """Wait for its end and return the exit status."""
        return self.process.wait(20)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.life)  # the kernel kills it
        self.channel.close()
        self.process.wait(20)


def predictions(answer: Answer) -> Any:
    assert answer.failure is None, answer.failure
    return json.loads(answer.body)["predictions"]


def code_of(answer: Answer | Part) -> str:
    """Return the code of a failure, "" where there is none."""
    return answer.failure.code if answer.failure else ""
