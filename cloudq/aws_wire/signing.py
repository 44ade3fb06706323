"""Signatures of version 4 of AWS's, for requests that differ only in their bodies.

What is signed is the text that botocore itself makes of such a request (`service`), with the moment and the body's
digest put in. The key that signs is made once a day and secret; botocore makes it for each request.
"""

from __future__ import annotations

import hmac
import time
from hashlib import sha256
from typing import Any, Final, NamedTuple

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


class Form(NamedTuple):
    """What is signed of each request for one operation, by one session token.

    Attributes:
        before: The canonical request up to the moment.
        after: And from there to the body's digest.
        names: Which headers are signed.
        token: The header of the session token, or nothing.
    """

    before: str
    after: str
    names: str
    token: str


class Signer:
    """Signs for a service in a region.

    Args:
        region: The region's name in the signature.
        service: The service's.
    """

    def __init__(self, region: str, service: str) -> None:
        self._region = region
        self._service = service
        # Both are replaced as a whole: several threads may do so, and nobody sees a half of one.
        self._second: tuple[int, str] = (-1, "")
        self._key: tuple[str, Any, bytes] = ("", None, b"")

    def sign(self, form: Form, body: bytes, credentials: Any) -> str:
        """The headers that sign a request, each with its line end.

        Args:
            form: What is signed besides.
            body: Its body.
            credentials: Botocore's, frozen.

        Raises:
            ValueError: The id of its key can't be in a header.
        """
        moment = self._moment()
        day = moment[:8]
        scope = f"{day}/{self._region}/{self._service}/aws4_request"
        canonical = f"{form.before}{moment}{form.after}{sha256(body).hexdigest()}"
        text = f"{_ALGORITHM}\n{moment}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(self._key_of(day, credentials), text.encode(), "sha256").hex()
        return (
            f"X-Amz-Date: {moment}\r\n{form.token}"
            f"Authorization: {_ALGORITHM} Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={form.names}, Signature={signature}\r\n"
        )

    def _moment(self) -> str:
        second = int(time.time())
        known, text = self._second
        if second != known:
            text = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
            self._second = second, text
        return text

    def _key_of(self, day: str, credentials: Any) -> bytes:
        known_day, known, key = self._key
        if day != known_day or credentials != known:
            check_value("the access key's id", credentials.access_key)
            key = f"AWS4{credentials.secret_key}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = day, credentials, key
        return key


def check_value(name: str, value: str) -> None:
    """Refuses what would begin another header, or another request.

    Args:
        name: Whose value it is. The value itself may be a secret.
        value: The value.

    Raises:
        ValueError: It would, or has another character that no header has.
    """
    if not value.isprintable():
        raise ValueError(f"{name} has a character that no header can have")
