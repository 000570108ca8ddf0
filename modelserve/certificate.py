"""The server's certificate and its key: two files in, a TLS context out, which takes new ones while it is in use.

    tls_cert, tls_key -> loaded, a handshake rehearsed -> the context      missing, mismatched, expired -> SettingsError

What the files hold is tried before it is used: on a reload, files that are wrong leave the old certificate in place.
"""

from __future__ import annotations

import datetime
import logging
import ssl

from modelserve.errors import SettingsError
from modelserve.settings import Settings

__all__ = ["Certificate", "find_certificate"]

logger = logging.getLogger(__name__)

# A certificate that ends sooner is told of: those that are renewed by themselves are renewed a month before their end.
SOON = datetime.timedelta(days=14)


def find_certificate(settings: Settings) -> Certificate | None:
    """Return the certificate that the settings name, loaded; None where they name none.

    Raises:
        SettingsError: It cannot be used, or one of the two files is not named.
    """
    if not settings.tls_cert and not settings.tls_key:
        return None
    if not settings.tls_cert or not settings.tls_key:
        given, missing = ("tls_cert", "tls_key") if settings.tls_cert else ("tls_key", "tls_cert")
        raise SettingsError(f"{given} is given, but {missing} is not: https needs a certificate and its key.")
    return Certificate(settings.tls_cert, settings.tls_key)


class Certificate:
    """A certificate with its key, and the context that new connections use.

    Args:
        cert: Path of the certificate, in PEM, with those it depends on behind it.
        key: Path of its key, in PEM, without a password.

    Raises:
        SettingsError: They cannot be used.
    """

    def __init__(self, cert: str, key: str) -> None:
        self._cert = cert
        self._key = key
        self.context = _context()
        self.reload()

    def reload(self) -> None:
        """Read the files again, for connections from now on.

        Raises:
            SettingsError: They cannot be used; the old ones still are.
        """
        tried = _context()
        self._load(tried)
        until = self._rehearse(tried)
        self._load(self.context)
        left = until - datetime.datetime.now(datetime.UTC)
        logger.log(
            logging.WARNING if left < SOON else logging.INFO,
            "the certificate %s is valid for another %d days, until %s",
            self._cert,
            left.days,
            until.date(),
        )

    def _load(self, context: ssl.SSLContext) -> None:
        _require_readable("tls_cert", self._cert)
        _require_readable("tls_key", self._key)
        try:
            context.load_cert_chain(self._cert, self._key, password="")
        except ssl.SSLError as error:
            raise SettingsError(self._complaint(error)) from error

    def _complaint(self, error: ssl.SSLError) -> str:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"tls_key {self._key} is not the key of the certificate in tls_cert {self._cert}."
        if _holds(self._cert, b"-----BEGIN CERTIFICATE-----"):
            return f"tls_key {self._key} holds no private key in PEM that can be read without a password."
        return f"tls_cert {self._cert} holds no certificate in PEM."

    def _rehearse(self, context: ssl.SSLContext) -> datetime.datetime:
        """Shake hands with ourselves, as a client that trusts the certificate, and return until when it is valid."""
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        client.load_verify_locations(self._cert)
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        asking = client.wrap_bio(to_client, to_server)
        try:
            _shake_hands(asking, context.wrap_bio(to_server, to_client, server_side=True))
        except ssl.SSLCertVerificationError as error:
            raise SettingsError(
                f"tls_cert {self._cert} cannot be used: {error.verify_message}. Renew it, or name another."
            ) from error
        except ssl.SSLError as error:
            raise SettingsError(f"tls_cert {self._cert} cannot be used: {error.reason}.") from error
        shown = asking.getpeercert()
        assert shown is not None, "it has just been verified"
        return datetime.datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), datetime.UTC)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _shake_hands(*ends: ssl.SSLObject) -> None:
    waiting = list(ends)
    while waiting:
        waiting = [end for end in waiting if not _is_done(end)]


def _is_done(end: ssl.SSLObject) -> bool:
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _require_readable(name: str, path: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise SettingsError(f"{name} is {path}, which cannot be read: {error.strerror}.") from error


def _holds(path: str, text: bytes) -> bool:
    with open(path, "rb") as file:
        return text in file.read()
