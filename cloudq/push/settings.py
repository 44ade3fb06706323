"""`PushSettings`: how pushes are taken, and from whom."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from cloudq.core.plain_text import warn_once
from cloudq.core.url import parse_url
from cloudq.errors import ConfigurationError

if TYPE_CHECKING:
    from cloudq.core.clock import Clock
    from cloudq.push.oidc import Verifier

CERTIFICATES_VARIABLE: Final = "CLOUDQ_OIDC_CERTS_URL"
ZERO: Final = timedelta(0)


class PushSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How pushes are taken, and from whom.

    Attributes:
        concurrency: The most tasks that run at once, threads and coroutines together; at least 1.
        waiting: How many more pushes may wait for their turn; beyond that they are refused with 429.
        patience: How long one may wait for its turn before it is refused with 429.
        queues: The queues whose pushes are taken; those of others are refused with 503. Empty for any.
        max_body: The largest body taken, in bytes. Larger ones are refused with 413.
        body_timeout: How long a body may take to arrive, before 408.
        event_deadline: For how long the sender of an event (Pub/Sub, Eventarc) waits for the answer: as long as it is
            set to there. Cloud Tasks says it with each push.
        service_accounts: The e-mail addresses of who may push; `None` for the `service_account` of the app's URL.
        unsigned_accounts: Those of them whose messages need no signature where the app requires one, since they can't
            sign: they are signed here.
        audiences: What their tokens may be for; `None` for the `audience`, or else the `target`, of the app's URL.
        certificates_url: Where the keys of those tokens are; `None` for `CLOUDQ_OIDC_CERTS_URL`, or else Google's.
            Only `https://`, or `http://` on this machine.
        verified_in_front: Believe a token whose signature the service in front has removed, as Cloud Run does where it
            requires authentication. **Only where nobody can get past that service**: such a token can be made up.
            Requests with `X-Serverless-Authorization`, of which that service verifies nothing else, are refused.
        insecure_no_auth: Take pushes from anybody on this machine, without a token: for development. Nothing is taken
            from browsers (Origin, Sec-Fetch-…), through proxies (Forwarded, X-Forwarded-…, Via, X-Real-IP …), for
            another Host than localhost, nor as `text/plain` and what HTML forms send.

    Raises:
        ConfigurationError: A number is out of its range.
    """

    concurrency: int = 10
    waiting: int = 10
    patience: timedelta = timedelta(seconds=10)
    queues: Sequence[str] = ()
    max_body: int = 2 * 1024 * 1024
    body_timeout: timedelta = timedelta(seconds=10)
    event_deadline: timedelta = timedelta(minutes=10)
    service_accounts: Sequence[str] | None = None
    unsigned_accounts: Sequence[str] = ()
    audiences: Sequence[str] | None = None
    certificates_url: str | None = None
    verified_in_front: bool = False
    insecure_no_auth: bool = False

    def __post_init__(self) -> None:
        """Refuses what can't work."""
        for name, least in (("concurrency", 1), ("waiting", 0), ("max_body", 1)):
            if getattr(self, name) < least:
                raise ConfigurationError(f"{name} is {getattr(self, name)}: at least {least} is needed")
        for name in ("body_timeout", "event_deadline"):
            if getattr(self, name) <= ZERO:
                raise ConfigurationError(f"{name} is {getattr(self, name)}: it must be longer than zero")
        if self.patience < ZERO:
            raise ConfigurationError(f"patience is {self.patience}: it can't be negative")
        for name in ("service_accounts", "unsigned_accounts", "audiences", "queues"):
            if isinstance(getattr(self, name), str):
                raise ConfigurationError(f"{name} is a list of strings", hint=f"{name}=[{getattr(self, name)!r}]")


def verifier_for(settings: PushSettings, url: str, clock: Clock) -> Verifier | None:
    """Who checks the tokens, or `None` where none are asked for.

    Args:
        settings: What was set.
        url: The app's backend.
        clock: Where the time comes from.

    Raises:
        ConfigurationError: It isn't known who may push, or google-auth isn't installed.
    """
    if settings.insecure_no_auth:
        warn_once("insecure_no_auth: pushes are taken from anybody on this machine: right for development only")
        return None
    from cloudq.push.certificates import GOOGLE_CERTIFICATES, Certificates
    from cloudq.push.oidc import Verifier

    backend = parse_url(url)
    of_url = backend.parameters if backend.scheme == "cloudtasks" else {}
    audience = of_url.get("audience") or of_url.get("target")
    account = of_url.get("service_account")
    audiences = ([audience] if audience else []) if settings.audiences is None else settings.audiences
    accounts = ([account] if account else []) if settings.service_accounts is None else settings.service_accounts
    for unsigned in settings.unsigned_accounts:
        if unsigned not in accounts:
            raise ConfigurationError(
                f"{unsigned!r} needs no signature, and isn't one of those that may push",
                hint="name it among service_accounts (--service-account), too",
            )
    certificates = settings.certificates_url or os.environ.get(CERTIFICATES_VARIABLE) or GOOGLE_CERTIFICATES
    if settings.verified_in_front:
        warn_once("verified_in_front: tokens without a signature are believed: right only behind what verified them")
    if certificates != GOOGLE_CERTIFICATES:
        warn_once("pushes are verified by certificates that aren't Google's: right with an emulator only")
    return Verifier(
        audiences=audiences,
        accounts=accounts,
        certificates=Certificates(certificates, clock=clock),
        verified_in_front=settings.verified_in_front,
    )
