"""Rows of the table of settings: where it listens, how each deployment runs, and how much it takes."""

from __future__ import annotations

import dataclasses
from typing import Literal

from modelserve.names import GROUPS
from modelserve.settings.fields import Kind
from modelserve.settings.rows import each, setting
from modelserve.settings.values import check_base_path, check_python, program_beside

__all__ = ["RunningRows"]


@dataclasses.dataclass(frozen=True)
class RunningRows:
    """Where a server listens, and how its deployments run."""

    host: str = setting(
        Kind.TEXT,
        "127.0.0.1",
        "Address to listen on, or a host name for all its addresses. 0.0.0.0 is every IPv4 address of the machine.",
        pattern=r"[A-Za-z0-9._:%-]{1,253}",
        right="a host name or an IP address",
        aliases=("--listen-ip",),
    )
    port: int = setting(
        Kind.WHOLE,
        5000,
        "Port to listen on. 0 takes any free one.",
        minimum=0,
        maximum=65535,
        aliases=("--listen-port",),
    )
    base_path: str = setting(
        Kind.TEXT,
        "",
        "Prefix of every route, for a server behind a proxy that shares one address.",
        check=check_base_path,
        right='a path such as "/models/v1"',
    )
    group: str = setting(
        Kind.TEXT,
        "",
        f"Entry-point group in which installed models are looked for; empty for {' and '.join(GROUPS)}.",
        pattern=r"[A-Za-z0-9_.-]{0,200}",
        right=f"an entry-point group such as {GROUPS[0]}, or empty for {' and '.join(GROUPS)}",
    )
    workers: int = each(Kind.WHOLE, 1, "Worker processes per model.", minimum=1, maximum=4096, unit="processes")
    device: str = each(
        Kind.TEXT,
        "auto",
        "Where models run: auto, cpu, cuda, or the GPUs to use, such as cuda:0,2.",
        pattern=r"auto|cpu|cuda(:[0-9]{1,4}(,[0-9]{1,4})*)?",
        right='auto, cpu, cuda or a list such as "cuda:0,2"',
    )
    workers_per_gpu: int = each(
        Kind.WHOLE,
        1,
        "Workers of one deployment that share each GPU.",
        minimum=1,
        maximum=64,
        unit="processes",
    )
    gpu_memory_fraction: float = each(
        Kind.NUMBER,
        0.0,
        "Share of a GPU's memory that PyTorch may take in each worker. 0: no limit.",
        minimum=0,
        maximum=1,
    )
    python: str = each(
        Kind.TEXT,
        "",
        "Interpreter that runs the workers, with modelserve installed. Empty: the server's own.",
        check=check_python,
        beside=program_beside,
        right='a Python interpreter that can be run, such as "/srv/digits/bin/python"',
    )
    max_batch_size: int = each(
        Kind.WHOLE,
        0,
        "Most calls that predict_batch is given at once. 0: as the model says.",
        minimum=0,
        maximum=4096,
        unit="calls",
    )
    batch_wait_ms: float = each(
        Kind.NUMBER,
        0.0,
        "How long a free worker waits for a batch to fill. 0: it takes what waits.",
        minimum=0,
        maximum=60_000,
        unit="milliseconds",
    )
    max_concurrency: int = each(
        Kind.WHOLE,
        0,
        "Calls that an async predict runs at the same time in one worker. 0: as the model says, else 100.",
        minimum=0,
        maximum=100_000,
        unit="calls",
    )
    predict_timeout_s: float = each(
        Kind.NUMBER,
        0.0,
        "Longest that one call may run; then it is answered 504 and its worker is replaced. 0: no limit.",
        minimum=0,
        unit="seconds",
    )
    load_timeout_s: float = each(
        Kind.NUMBER,
        300.0,
        "Longest that a worker may take to import and describe its model. 0: no limit.",
        minimum=0,
        unit="seconds",
    )
    warm_timeout_s: float = each(
        Kind.NUMBER, 600.0, "Longest that a model's warm may take. 0: no limit.", minimum=0, unit="seconds"
    )
    cancel_running: Literal["finish", "kill"] = each(
        Kind.CHOICE,
        "finish",
        "What happens to a running call whose client has left: it is finished and dropped, or its worker is replaced.",
    )
    restart_budget: int = each(
        Kind.WHOLE,
        10,
        "Workers of one deployment that may be replaced in a minute before it is failed for the rest of it.",
        minimum=1,
        maximum=10_000,
        unit="restarts",
    )
    max_calls: int = each(
        Kind.WHOLE,
        0,
        "Calls after which a worker is replaced by a fresh one, more or less a tenth. 0: never.",
        minimum=0,
        unit="calls",
    )
    max_rss_mb: int = each(
        Kind.WHOLE,
        0,
        "Resident memory above which a worker is replaced by a fresh one between calls. 0: no limit.",
        minimum=0,
        unit="megabytes",
    )
    grace_s: float = setting(
        Kind.NUMBER,
        30.0,
        "How long running calls may take to finish when the server is told to stop.",
        minimum=0,
        unit="seconds",
    )
    max_body_bytes: int = each(Kind.SIZE, 64 * 1024**2, "Largest JSON or form body of a request; it is held in memory.")
    max_upload_bytes: int = each(
        Kind.SIZE, 1024**3, "Largest multipart body of a request with all its files; they are written to disk."
    )
    max_queue: int = each(
        Kind.WHOLE,
        1000,
        "Calls that may wait for one deployment; a further one is answered 503 queue_full.",
        minimum=1,
        unit="calls",
    )
    max_queue_bytes: int = each(
        Kind.SIZE,
        256 * 1024**2,
        "Bytes of request bodies that may wait for one deployment; a further one is answered 503 queue_full. As many, "
        "and one body more, may be at one worker.",
    )
    max_answer_bytes: int = each(
        Kind.SIZE,
        256 * 1024**2,
        "Largest answer that is held in memory; a larger one is 500 bad_answer. Files and streams are not held.",
    )
    unknown_arguments: Literal["auto", "error", "ignore"] = each(
        Kind.CHOICE,
        "auto",
        "What happens to an argument that the model does not declare; auto: packages written for DEEPaaS never see it,"
        " for others it is an error.",
    )
    nan_answers: Literal["error", "null"] = each(
        Kind.CHOICE, "error", "What happens to NaN and infinity in an answer, which JSON cannot say."
    )
    cache_size: int = each(
        Kind.WHOLE,
        0,
        "Answers that are kept, so that identical calls share one; 64 MiB at most. 0: none.",
        minimum=0,
        maximum=100_000,
        unit="answers",
    )
    cache_ttl_s: float = each(Kind.NUMBER, 0.0, "How long an answer is kept. 0: no limit.", minimum=0, unit="seconds")
