"""Rows of the table of settings: who may call, by what way, and how long a client may take."""

from __future__ import annotations

import dataclasses
from typing import Literal

from modelserve.settings.fields import Kind
from modelserve.settings.rows import each, setting
from modelserve.settings.values import beside, check_file, check_hosts, check_networks, check_origins

__all__ = ["AccessRows"]


@dataclasses.dataclass(frozen=True)
class AccessRows:
    """Who may call, and how."""

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
        beside=beside,
        right="a path of a file",
    )
    tls_key: str = setting(
        Kind.TEXT,
        "",
        "Private key of tls_cert, in PEM, without a password.",
        check=check_file,
        beside=beside,
        right="a path of a file",
    )
    trusted_proxies: str = setting(
        Kind.TEXT,
        "",
        "Proxies whose X-Forwarded-For, -Proto, -Host and -Prefix are believed. Empty: none.",
        check=check_networks,
        right='addresses or networks separated by commas, such as "127.0.0.1,10.0.0.0/8"',
    )
    trust_traceparent: bool = setting(
        Kind.SWITCH,
        False,
        "Whether a request's traceparent header is believed, so that its spans are part of the client's trace. For a "
        "server behind a proxy that sets it.",
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
    max_receiving_bytes: int = setting(
        Kind.SIZE,
        512 * 1024**2,
        "Bytes of all requests together that are on their way in and held in memory; where they are more, slow senders "
        "are cut off, and then a further one is 503 no_space. max_body_bytes at least.",
    )
    max_sending_bytes: int = setting(
        Kind.SIZE,
        512 * 1024**2,
        "Bytes of all answers together that are held in memory until their clients have read them; a further large one "
        "waits on disk. max_answer_bytes at least.",
    )
    max_files_bytes: int = setting(
        Kind.SIZE,
        16 * 1024**3,
        "Bytes on disk of all uploads that are on their way in or in use, and of answers that wait there; where they "
        "are more, slow senders and readers are cut off, and then a further one is 503 no_space. max_upload_bytes at "
        "least.",
    )
    max_connections: int = setting(
        Kind.WHOLE,
        0,
        "Connections that are kept. For a further one, one that has been idle for 5 seconds is closed; where there is "
        "none, only /healthz and /readyz are answered on the further one, all else is 503. 0: as many as open files "
        "allow, 10,000 at most.",
        minimum=0,
        maximum=1_000_000,
        unit="connections",
    )
