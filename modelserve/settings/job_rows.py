"""Rows of the table of settings: trainings and background predictions."""

from __future__ import annotations

import dataclasses

from modelserve.settings.fields import Kind
from modelserve.settings.rows import each, setting
from modelserve.settings.values import (
    beside,
    check_data_dir,
    check_database,
    check_hosts,
    check_secret,
    database_beside,
)

__all__ = ["JobRows"]


@dataclasses.dataclass(frozen=True)
class JobRows:
    """What becomes of jobs."""

    train: bool = each(Kind.SWITCH, True, "Whether trainings are served. Off everywhere: no jobs are kept.")
    data_dir: str = setting(
        Kind.TEXT,
        "",
        "Folder for jobs and clients: the database and the jobs' files. Empty: the user's, as the system has it.",
        check=check_data_dir,
        beside=beside,
        right="a path of a folder",
    )
    database: str = setting(
        Kind.TEXT,
        "",
        "Database of jobs and clients: postgresql+psycopg://user:password@host/name. Empty: a SQLite file in data_dir.",
        check=check_database,
        beside=database_beside,
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
    max_queued_job_bytes: int = setting(
        Kind.SIZE,
        4 * 1024**3,
        "Bytes of requests, with their files, of jobs that have not ended; a further one is answered 503 queue_full.",
    )
    max_client_job_bytes: int = setting(
        Kind.SIZE,
        1024**3,
        "As max_queued_job_bytes, of one client, where there are clients; a further one of it is answered 429.",
    )
    max_result_bytes: int = each(
        Kind.SIZE,
        1024**3,
        "Largest result of a background prediction, a stream or a file too; a larger one fails the job.",
    )
    keep_jobs: int = setting(
        Kind.WHOLE,
        10_000,
        "Jobs of each deployment and operation that are kept; those that ended first go first, none within an hour.",
        minimum=0,
        unit="jobs",
    )
    keep_jobs_days: float = setting(
        Kind.NUMBER,
        90.0,
        "How long a job is kept once it has ended, an hour at least.",
        minimum=0,
        maximum=36_500,
        unit="days",
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
