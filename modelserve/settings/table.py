"""The table of settings: the ``Settings`` class itself, one row for each setting."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_type_hints

from modelserve.names import GROUPS
from modelserve.settings.fields import Field, Kind
from modelserve.settings.rows import DeploymentTable, each, setting
from modelserve.settings.values import (
    check_base_path,
    check_data_dir,
    check_database,
    check_file,
    check_hosts,
    check_networks,
    check_origins,
    check_python,
    check_secret,
    check_temp_dir,
)

__all__ = ["BY_NAME", "FIELDS", "Settings"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Every setting of one server, checked; made once by ``load_settings`` and passed down.

    ``deployments`` holds the tables of the settings file by deployment; ``environment`` is empty but in what :meth:`of`
    returns.
    """

    host: str = setting(
        Kind.TEXT,
        "127.0.0.1",
        "Address to listen on. 0.0.0.0 is every IPv4 address of the machine.",
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
        "Bytes of request bodies that may wait for one deployment; a further one is answered 503 queue_full.",
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
    train: bool = each(Kind.SWITCH, True, "Whether trainings are served. Off everywhere: no jobs are kept.")
    data_dir: str = setting(
        Kind.TEXT,
        "",
        "Folder for jobs and clients: the database and the jobs' files. Empty: the user's, as the system has it.",
        check=check_data_dir,
        right="a path of a folder",
    )
    database: str = setting(
        Kind.TEXT,
        "",
        "Database of jobs and clients: postgresql+psycopg://user:password@host/name. Empty: a SQLite file in data_dir.",
        check=check_database,
        right="postgresql+psycopg://user:password@host/name, or empty for a SQLite file in data_dir",
        secret=True,
    )
    train_workers: int = each(
        Kind.WHOLE, 1, "Trainings of one deployment that run at the same time.", minimum=1, maximum=64, unit="processes"
    )
    train_retries: int = each(
        Kind.WHOLE,
        0,
        "How often a training is begun again after the server that ran it has gone or was stopped.",
        minimum=0,
        maximum=100,
    )
    train_cancel_s: float = setting(
        Kind.NUMBER,
        10.0,
        "How long a cancelled training may take to end by itself; then its processes are ended.",
        minimum=0,
        unit="seconds",
    )
    reload_after_train: bool = each(
        Kind.SWITCH, False, "Whether the workers are replaced by new ones once a training is done."
    )
    max_queued_jobs: int = each(
        Kind.WHOLE,
        10_000,
        "Trainings, and background predictions, that may wait; a further one is answered 503 queue_full.",
        minimum=1,
        unit="jobs",
    )
    keep_jobs: int = setting(
        Kind.WHOLE, 10_000, "Jobs that are kept once they have ended; the oldest go first.", minimum=0, unit="jobs"
    )
    keep_jobs_days: float = setting(
        Kind.NUMBER, 90.0, "How long a job is kept once it has ended.", minimum=0, maximum=36_500, unit="days"
    )
    callback_hosts: str = setting(
        Kind.TEXT,
        "",
        "Hosts that a job's callback_url may name, with a port where it is not the usual one. Empty: none.",
        check=check_hosts,
        right='host names separated by commas, such as "ci.example.org,10.0.0.7:8080"',
    )
    callback_secret: str = setting(
        Kind.TEXT,
        "",
        "Secret with which callbacks are signed; callback_hosts needs one.",
        check=check_secret,
        right="a text of 24 to 64 bytes, or whsec_ and the base64 of as many",
        secret=True,
    )
    access: Literal["private", "public"] = each(
        Kind.CHOICE,
        "private",
        "Who may call a deployment once there are clients: those with a token, or everybody.",
    )
    insecure_no_auth: bool = setting(
        Kind.SWITCH,
        False,
        "Whether a server without clients may listen where others can reach it, so that everybody may do everything.",
    )
    rate_limit: float = each(
        Kind.NUMBER,
        0.0,
        "Calls per second that one client may make to a deployment; a further one is answered 429. 0: no limit.",
        minimum=0,
        maximum=1_000_000,
        unit="calls per second",
    )
    failed_logins: int = setting(
        Kind.WHOLE,
        10,
        "Failed logins a minute, of a client from an address; a further one is answered 429 unseen. 0: no limit.",
        minimum=0,
        maximum=1_000_000,
        unit="a minute",
    )
    tls_cert: str = setting(
        Kind.TEXT,
        "",
        "Certificate in PEM, with those that it depends on behind it. With it the server speaks https only.",
        check=check_file,
        right="a path of a file",
    )
    tls_key: str = setting(
        Kind.TEXT,
        "",
        "Private key of tls_cert, in PEM, without a password.",
        check=check_file,
        right="a path of a file",
    )
    trusted_proxies: str = setting(
        Kind.TEXT,
        "",
        "Proxies whose X-Forwarded-For, -Proto, -Host and -Prefix are believed. Empty: none.",
        check=check_networks,
        right='addresses or networks separated by commas, such as "127.0.0.1,10.0.0.0/8"',
    )
    allowed_hosts: str = setting(
        Kind.TEXT,
        "",
        "Host names that the server answers to besides localhost; another is answered 421. Empty: its own, or any "
        "where others can reach it.",
        check=check_hosts,
        right='host names separated by commas, such as "models.example.org,10.0.0.7"',
    )
    cors_origins: str = setting(
        Kind.TEXT,
        "",
        "Origins whose pages may call the server from a browser. Empty: only its own pages may.",
        check=check_origins,
        right='origins separated by commas, such as "https://app.example.org,http://localhost:3000"',
    )
    header_timeout_s: float = setting(
        Kind.NUMBER,
        10.0,
        "Longest that the head of a request may take to arrive; then the connection is closed. 0: no limit.",
        minimum=0,
        unit="seconds",
    )
    body_timeout_s: float = setting(
        Kind.NUMBER,
        60.0,
        "Longest that a body may take to arrive, and a second more for each 16 KiB of it; then it is answered 408. "
        "Also the longest that a client may read nothing of an answer. 0: no limit.",
        minimum=0,
        unit="seconds",
    )
    max_connections: int = setting(
        Kind.WHOLE,
        0,
        "Connections that are kept; on a further one only /healthz and /readyz are answered, all else is 503. 0: as "
        "many as open files allow, 10,000 at most.",
        minimum=0,
        maximum=1_000_000,
        unit="connections",
    )
    temp_dir: str = setting(
        Kind.TEXT,
        "",
        "Folder in which the server makes its private temporary folder. Empty: the system's.",
        check=check_temp_dir,
        right="an existing folder that can be written to",
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(Kind.CHOICE, "info", "Least level to log.")
    log_format: Literal["text", "json"] = setting(Kind.CHOICE, "text", "Form of a log line on standard error.")
    log_lines: int = setting(
        Kind.WHOLE,
        2000,
        "Last lines of each deployment's log that are held in memory; its file has more.",
        minimum=1,
        maximum=100_000,
        unit="lines",
    )
    access_log: bool = setting(
        Kind.SWITCH, False, "Whether each request is a line of the log, with its status and its times."
    )
    debug_endpoint: bool = setting(
        Kind.SWITCH, False, "Whether GET /v2/debug/ gives administrators the last lines of the log of every deployment."
    )
    seldon_metrics: bool = setting(
        Kind.SWITCH, False, "Whether /metrics has predict requests under the names of Seldon's executor too."
    )
    strict: bool = setting(Kind.SWITCH, False, "Exit with status 3 when any model fails to start.")
    title: str = setting(
        Kind.TEXT,
        "modelserve",
        "Title of the pages and of the OpenAPI documents.",
        pattern=r"(?=.*\S).{1,200}",
        right="a printable text of 1 to 200 characters",
    )
    deployments: Mapping[str, DeploymentTable] = dataclasses.field(default_factory=dict, hash=False)
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)

    def of(self, name: str) -> Settings:
        """Return the settings of one deployment: these, with what its table says in their place; computed once."""
        return self._by_deployment.get(name, self)

    @property
    def models(self) -> dict[str, str]:
        """The model behind each deployment that has a table."""
        return {name: table.model for name, table in self.deployments.items()}

    def python_of(self, name: str) -> str:
        """Return the interpreter that runs one deployment's workers, "" for the server's own."""
        return self.of(name).python

    @functools.cached_property
    def _by_deployment(self) -> dict[str, Settings]:
        return {
            name: dataclasses.replace(self, **table.overrides, deployments={}, environment=table.environment)
            for name, table in self.deployments.items()
        }


def _field(row: dataclasses.Field[Any], annotation: Any) -> Field:
    choices = get_args(annotation) if row.metadata["kind"] is Kind.CHOICE else ()
    return Field(name=row.name, choices=choices, **row.metadata)


_HINTS = get_type_hints(Settings)
FIELDS = tuple(_field(row, _HINTS[row.name]) for row in dataclasses.fields(Settings) if row.metadata)
BY_NAME = {field.name: field for field in FIELDS}
