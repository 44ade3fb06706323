"""The emulator's own Google: a key, its certificate, and the tokens that it signs."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from jwt.algorithms import RSAAlgorithm

LIFETIME: Final = timedelta(hours=1)
# A signature costs about as much as all the rest of a dispatch: one token serves the pushes of a minute.
REUSED_FOR: Final = timedelta(minutes=1)
OAUTH_TOKEN: Final = "ya29.emulated-access-token"  # noqa: S105 - opens nothing: no API takes it
_ALGORITHM: Final = "RS256"
_BITS: Final = 2048
_MOST_TOKENS: Final = 1_000


class Signer:
    """Signs OIDC tokens as Google does: RS256, with an `email` that is verified.

    Args:
        issuer: The `iss`.
        key: The private key; default: one for the whole process, as making one takes a while.
    """

    def __init__(self, issuer: str, key: rsa.RSAPrivateKey | None = None) -> None:
        self._issuer = issuer
        self._key = key or _process_key()
        public = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.key_id = hashlib.sha256(public).hexdigest()[:40]
        self._certificate = _certificate(self._key)
        self._tokens: dict[tuple[str, str], tuple[datetime, str]] = {}

    def token(self, email: str, audience: str, now: datetime) -> str:
        """A token for the service account, good for an hour."""
        known = self._tokens.get((email, audience))
        if known is not None and known[0] <= now < known[0] + REUSED_FOR:
            return known[1]
        issued = int(now.timestamp())
        claims = {
            "iss": self._issuer,
            "aud": audience,
            "azp": _subject(email),
            "sub": _subject(email),
            "email": email,
            "email_verified": True,
            "iat": issued,
            "exp": issued + int(LIFETIME.total_seconds()),
        }
        token = jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers={"kid": self.key_id})
        if len(self._tokens) >= _MOST_TOKENS:
            self._tokens.clear()
        self._tokens[email, audience] = (now, token)
        return token

    def certificates(self) -> dict[str, str]:
        """What https://www.googleapis.com/oauth2/v1/certs has: certificates in PEM by key id."""
        return {self.key_id: self._certificate}

    def key_set(self) -> dict[str, Any]:
        """What https://www.googleapis.com/oauth2/v3/certs has: a JSON Web Key Set."""
        public: dict[str, Any] = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        described = {"kty": public["kty"], "n": public["n"], "e": public["e"]}
        return {"keys": [{**described, "kid": self.key_id, "use": "sig", "alg": _ALGORITHM}]}


def _subject(email: str) -> str:
    """A service account's id: 21 digits, the same for the same account."""
    return "1" + str(int(hashlib.sha256(email.encode()).hexdigest(), 16))[:20]


@cache
def _process_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=_BITS)


def _certificate(key: rsa.RSAPrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cloud-tasks-emulator.invalid")])
    # Valid whatever time a test's clock shows.
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2000, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()
