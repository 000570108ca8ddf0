"""A callback's signature is the one that Standard Webhooks describes."""

from __future__ import annotations

import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from modelserve.web.signing import signed
from tests.web.receiver import KEY, SECRET


def test_the_published_example_is_signed_as_it_is_published() -> None:
    headers = signed(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        time_s=1614265330,
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(("secret", "key"), [(SECRET, KEY), (SECRET.rstrip("="), KEY), ("ä" * 20, ("ä" * 20).encode())])
def test_a_receiver_verifies_it_by_the_same_secret_and_by_no_other(secret: str, key: bytes) -> None:
    body = '{"uuid": "é"}'.encode()
    headers = signed(secret, "id", body, time_s=int(time.time()))
    assert Webhook(key).verify(body, headers) == {"uuid": "é"}
    for wrong, changed in ((b"x" * 32, body), (key, body + b" ")):
        with pytest.raises(WebhookVerificationError):
            Webhook(wrong).verify(changed, headers)
