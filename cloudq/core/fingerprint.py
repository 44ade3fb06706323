"""A payload's fingerprint: what tells two payloads of one idempotency key apart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

_ENCODER: Final = msgspec.json.Encoder(order="sorted")


def fingerprint(payload: Mapping[str, object]) -> bytes:
    """32 bytes: the SHA-256 of its JSON in canonical form, names sorted."""
    return hashlib.sha256(_ENCODER.encode(payload)).digest()
