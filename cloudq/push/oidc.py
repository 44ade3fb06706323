"""`Verifier`: who pushed? Checks the OIDC token that a Google service sends along, before anything else is read.

Facts: docs.cloud.google.com, Cloud Tasks "Create HTTP target tasks" and Pub/Sub "Authentication for push
subscriptions", 2026-11: an RS256 JWT of issuer `https://accounts.google.com`, with `aud`, `email` and `email_verified`.
"""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Final

import msgspec

from cloudq.errors import ConfigurationError
from cloudq.push.certificates import PATIENCE_SECONDS, Certificates, CertificatesUnavailable, verifier_of
from cloudq.push.refusals import HttpRefusal

ALGORITHM: Final = "RS256"
ISSUERS: Final = frozenset({"accounts.google.com", "https://accounts.google.com"})
# How far two machines' clocks may differ.
SKEW_SECONDS: Final = 30
# A token of Google's has some 1,000 characters.
LONGEST_TOKEN: Final = 8 * 1024
# How many tokens are known again. Each server that pushes has one for each audience, for an hour.
MOST_KNOWN: Final = 256
# What Cloud Run leaves of a signature, where it has verified the token itself (troubleshooting page, 2026-11).
REMOVED: Final = ".SIGNATURE_REMOVED_BY_GOOGLE"

# Of two tokens Cloud Run checks this header's, and hands the other on as it came, signature and all ("Authenticating
# service-to-service", 2026-11: "If both headers are provided, only the X-Serverless-Authorization header is checked").
CHECKED_INSTEAD: Final = "x-serverless-authorization"

# The end of the year 9999. Neither NaN nor infinity is below it.
_LAST_MOMENT: Final = 253402300799
_CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token that looks like one.

    Attributes:
        text: The token.
        key_id: The key that it says it was signed with.
    """

    text: str
    key_id: str

    def __repr__(self) -> str:
        """Without the token: anybody who reads it could push."""
        return f"Token(key_id={self.key_id[:60]!r})"


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """A token whose signature is right.

    Attributes:
        token: The token.
        certificate: That of the key that it was signed with.
        claims: What it says.
    """

    token: Token
    certificate: str
    claims: Mapping[str, object]

    def __repr__(self) -> str:
        """Without the token, as there."""
        return f"Signed({self.token!r})"


class Verifier:
    """Lets in the senders that it knows.

    A service sends the same token with many pushes, for up to an hour. Its signature is checked once for each
    certificate that its key has meanwhile, and all else each time.

    Args:
        audiences: What a token may be for.
        accounts: The e-mail addresses of the service accounts that may push.
        certificates: The keys.
        verified_in_front: Whether a token whose signature was removed is believed.

    Raises:
        ConfigurationError: Nobody is named, or google-auth isn't installed.
    """

    def __init__(
        self,
        *,
        audiences: Sequence[str],
        accounts: Sequence[str],
        certificates: Certificates,
        verified_in_front: bool = False,
    ) -> None:
        if not audiences or not accounts:
            raise ConfigurationError(
                "it isn't known who may push: neither the URL nor the settings name a service account and an audience",
                hint="service_account= and target= in the URL; PushSettings(service_accounts=[...], audiences=[...]); "
                "or --service-account and --audience",
            )
        try:
            import google.auth.crypt  # noqa: F401 - by which certificates verify
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"verifying pushes needs the module {error.name!r}, which isn't installed",
                hint="pip install 'cloudq[cloudtasks]'",
            ) from error
        self.audiences = tuple(audiences)
        self.accounts = frozenset(accounts)
        self.certificates = certificates
        self._in_front = verified_in_front
        # By the text of the token, the oldest first: those that were let in, so nobody else can make it forget them.
        self._known: dict[str, Signed] = {}
        self._lock = threading.Lock()  # for writing it

    def verify(self, headers: Mapping[str, str]) -> str:
        """Whose token is among the headers of a request; waits for the certificates if they have to be fetched.

        Raises:
            HttpRefusal: 401, 403, or 503 where the certificates aren't available.
        """
        token = self._token(headers)
        flight = self._missing(token)
        if flight is not None:
            try:
                flight.result(PATIENCE_SECONDS)
            except TimeoutError:
                raise _unavailable("fetching the certificates takes too long") from None
        return self._check(token)

    async def averify(self, headers: Mapping[str, str]) -> str:
        """As `verify`; the loop goes on while certificates are fetched."""
        token = self._token(headers)
        flight = self._missing(token)
        if flight is not None:
            try:
                # Shielded, as others wait for the same fetch.
                await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(flight)), PATIENCE_SECONDS)
            except TimeoutError:
                raise _unavailable("fetching the certificates takes too long") from None
        return self._check(token)

    def _token(self, headers: Mapping[str, str]) -> Token:
        if self._in_front and CHECKED_INSTEAD in headers:
            # Any account that may call the service at all could write what it likes into the other one.
            raise _unknown(
                "it has X-Serverless-Authorization: the service in front has verified that token, not this one"
            )
        scheme, _, text = headers.get("authorization", "").partition(" ")
        text = text.strip()
        if scheme.lower() != "bearer" or not text:
            raise _unknown("it has no token")
        if "," in text:  # no token holds one: it is where two headers were joined, and who is in front saw which?
            raise _unknown("it has more than one token")
        if len(text) > LONGEST_TOKEN or not text.isascii():
            raise _unknown("its token isn't a JWT")
        if text.endswith(REMOVED) and not self._in_front:
            raise _unknown(
                "its token's signature was removed by the service in front (Cloud Run does so where it requires "
                "authentication itself): see verified_in_front"
            )
        known = self._known.get(text)
        if known is not None:
            return known.token
        try:
            header = msgspec.json.decode(_decoded(text.partition(".")[0]), type=_Header)
        except Exception:  # noqa: BLE001 - whatever is raised for it, it is no token; the texts may hold it
            raise _unknown("its token isn't a JWT") from None
        if header.alg != ALGORITHM:
            raise _unknown(f"its token isn't signed with {ALGORITHM}")
        if not header.kid:
            raise _unknown("its token names no key")
        return Token(text=text, key_id=header.kid)

    def _missing(self, token: Token) -> Future[None] | None:
        return None if token.text.endswith(REMOVED) else self.certificates.missing(token.key_id)

    def _check(self, token: Token) -> str:
        if token.text.endswith(REMOVED):
            return self._check_claims(self._read_verified(token))
        certificate = self._certificate(token)
        known = self._known.get(token.text)
        if known is not None and known.certificate == certificate:
            return self._check_claims(known.claims)
        claims = self._verify(token, certificate)
        email = self._check_claims(claims)
        self._remember(Signed(token=token, certificate=certificate, claims=claims))
        return email

    def _remember(self, signed: Signed) -> None:
        with self._lock:
            self._known.pop(signed.token.text, None)
            while len(self._known) >= MOST_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[signed.token.text] = signed

    def _check_claims(self, claims: Mapping[str, object]) -> str:
        _check_times(claims)
        issuer = claims.get("iss")
        if not isinstance(issuer, str) or issuer not in ISSUERS:
            raise _unknown("its token is of another issuer")
        audience = claims.get("aud")
        if not isinstance(audience, str) or audience not in self.audiences:
            expected = " or ".join(map(repr, self.audiences))
            raise _unknown(f"its token is for another audience ({str(audience)[:200]!r}, not {expected})")
        email = claims.get("email")
        if not isinstance(email, str) or email not in self.accounts or claims.get("email_verified") is not True:
            raise HttpRefusal(403, f"its token is of {str(email)[:200]!r}, who may not push (or isn't verified)")
        return email

    def _certificate(self, token: Token) -> str:
        """Its key's, as it is now."""
        try:
            certificate = self.certificates.find(token.key_id)
        except CertificatesUnavailable as error:
            raise _unavailable(str(error)) from error
        if certificate is None:
            raise _unknown("its token's key is unknown")
        return certificate

    def _verify(self, token: Token, certificate: str) -> Mapping[str, object]:
        """The claims of a token whose signature is right."""
        signed, _, signature = token.text.rpartition(".")
        try:
            right = verifier_of(certificate).verify(signed, _decoded(signature))
            claims = _claims(token)
        except Exception:  # noqa: BLE001 - whatever the library raises for it, it is wrong
            right, claims = False, {}
        if not right:
            raise _unknown("its token's signature is wrong")
        return claims

    def _read_verified(self, token: Token) -> Mapping[str, object]:
        """The claims of a token that the service in front has verified, according to our settings."""
        try:
            return _claims(token)
        except Exception:  # noqa: BLE001 - as above
            raise _unknown("its token isn't a JWT") from None


class _Header(msgspec.Struct):
    """What a token says before its claims."""

    alg: str = ""
    kid: str = ""


def _claims(token: Token) -> Mapping[str, object]:
    # google-auth would read the header once more, and so takes 10 us where this takes 4.
    _, claims, _ = token.text.split(".")
    return msgspec.json.decode(_decoded(claims), type=dict[str, object])


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(f"{part}==")


def _check_times(claims: Mapping[str, object]) -> None:
    """Whether it is valid now. Not left to google-auth: to it a NaN is never over."""
    now = time.time()
    issued, expires = _moment(claims, "iat"), _moment(claims, "exp")
    if now < issued - SKEW_SECONDS:
        raise _unknown(
            f"its token was issued {issued - now:,.0f} s from now: the clock of its issuer is ahead of this machine's, "
            "or this machine's is behind"
        )
    if now > expires + SKEW_SECONDS:
        raise _unknown("its token is expired")


def _moment(claims: Mapping[str, object], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= _LAST_MOMENT:
        return value
    raise _unknown(f"its token's {name} is no time")


def _unknown(why: str) -> HttpRefusal:
    return HttpRefusal(401, why, headers=_CHALLENGE)


def _unavailable(why: str) -> HttpRefusal:
    return HttpRefusal(503, f"the sender can't be verified: {why}", headers={"Retry-After": "5"})
