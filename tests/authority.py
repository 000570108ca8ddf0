"""Real certificates for tests, of an authority that lives as long as the test does. No key is kept anywhere.

authority = Authority(tmp_path)
files = authority.issue("localhost", "127.0.0.1")     two paths: files.cert, files.key
authority.trusted                                     path of what a client has to trust
"""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import NamedTuple

import trustme

__all__ = ["Authority", "Files"]


class Files(NamedTuple):
    cert: Path
    key: Path


class Authority:
    """Signs certificates, and writes them to a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.trusted = folder / "authority.pem"
        self._ca.cert_pem.write_to_path(str(self.trusted))

    def issue(
        self, *names: str, file: str = "server", days: float = 90, starts_in_days: float = 0, into: Files | None = None
    ) -> Files:
        """Write a certificate and its key; ``into`` others' files, or into new ones of that name."""
        since = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=starts_in_days)
        until = since + datetime.timedelta(days=days)
        if days < 0:
            since, until = until, since
        issued = self._ca.issue_cert(*names, not_before=since, not_after=until)
        files = into or Files(self._folder / f"{file}.pem", self._folder / f"{file}.key")
        files.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        files.key.write_bytes(issued.private_key_pem.bytes())
        return files

    def client_context(self) -> ssl.SSLContext:
        """Return the context of a client that trusts this authority alone."""
        return ssl.create_default_context(cafile=str(self.trusted))
