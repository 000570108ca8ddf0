"""Signs what is posted to a callback, as https://www.standardwebhooks.com describes it. Values in, headers out, no I/O.

secret, id, time, body  ->  webhook-id, webhook-timestamp, webhook-signature: v1,BASE64(HMAC-SHA256(key, ID.TIME.BODY))
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from modelserve.settings.values import signing_key

__all__ = ["signed"]


def signed(secret: str, id: str, body: bytes, *, time_s: int) -> dict[str, str]:
    """Return the headers of a message.

    Args:
        secret: The setting ``callback_secret``.
        id: The same for every try of one message.
        body: Exactly what is sent.
        time_s: When it is sent, in seconds since 1970; receivers refuse what is older than some minutes.
    """
    content = f"{id}.{time_s}.".encode() + body
    signature = base64.b64encode(hmac.digest(signing_key(secret), content, hashlib.sha256)).decode()
    return {"webhook-id": id, "webhook-timestamp": str(time_s), "webhook-signature": f"v1,{signature}"}
