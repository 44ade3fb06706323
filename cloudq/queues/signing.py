"""Which keys sign and verify, and how strictly: an app's settings, else `CLOUDQ_SIGNING` and `CLOUDQ_SIGNING_KEYS`."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping
from typing import Final, get_args

import msgspec

from cloudq.core.signature_check import SignatureCheck, SigningMode
from cloudq.core.signatures import sign
from cloudq.core.signing_keys import EXAMPLE, SigningKeys, parse_signing_keys
from cloudq.errors import ConfigurationError, nearest

MODE_VARIABLE: Final = "CLOUDQ_SIGNING"
KEYS_VARIABLE: Final = "CLOUDQ_SIGNING_KEYS"
MODES: Final[tuple[SigningMode, ...]] = get_args(SigningMode)


class Signing(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force.

    Attributes:
        mode: What a worker does about signatures.
        keys: The keys; what is sent is signed with the first. `None`: nothing is signed.
    """

    mode: SigningMode = "off"
    keys: SigningKeys | None = None

    def signed(self, body: bytes) -> bytes:
        """The event with our signature, if there is a key."""
        return body if self.keys is None else sign(body, self.keys.first)

    def check(self, known: Container[str]) -> SignatureCheck | None:
        """What looks at the signatures of deliveries; `None` where nothing does.

        Args:
            known: The names of the tasks that there are.
        """
        if self.mode == "off" or self.keys is None:
            return None
        return SignatureCheck(self.keys, required=self.mode == "require", known=known)


UNSIGNED: Final = Signing()


class SigningSettings:
    """What an app was given.

    Attributes:
        mode: Its mode, or `None` for the environment's.
        keys: Its keys as a text, or `None` for the environment's.
    """

    def __init__(self) -> None:
        self.mode: str | None = None
        self.keys: str | None = None

    def __repr__(self) -> str:
        """The mode alone."""
        return f"SigningSettings({self.mode!r})"

    def set(self, mode: str | None, keys: str | None) -> None:
        """Sets what isn't `None`.

        Raises:
            ConfigurationError: One can't be used.
        """
        if mode is not None:
            self.mode = _mode(mode, "signing")
        if keys is not None:
            parse_signing_keys(keys, "signing_keys")
            self.keys = keys

    def in_force(self, environment: Mapping[str, str] = os.environ) -> Signing:
        """The app's own settings, else the environment's.

        Raises:
            ConfigurationError: One can't be used, or signatures are looked at without a key.
        """
        if self.mode is not None:
            mode = _mode(self.mode, "signing")
        else:
            mode = _mode(environment.get(MODE_VARIABLE, "off"), MODE_VARIABLE)
        if self.keys is not None:
            keys: SigningKeys | None = parse_signing_keys(self.keys, "signing_keys")
        else:
            of_environment = environment.get(KEYS_VARIABLE)
            keys = None if of_environment is None else parse_signing_keys(of_environment, KEYS_VARIABLE)
        if mode != "off" and keys is None:
            raise ConfigurationError(
                f"signing is {mode!r}, and there is no key to look at signatures with",
                hint=f"set {KEYS_VARIABLE}, or App(signing_keys=...): {EXAMPLE}",
            )
        return Signing(mode=mode, keys=keys)


def _mode(text: object, name: str) -> SigningMode:
    for mode in MODES:
        if text == mode:
            return mode
    # A misspelt "require" that counted as "off" would be seen by nobody.
    raise ConfigurationError(f"{name} isn't one of {', '.join(MODES)}", hint=nearest(str(text)[:20], MODES))
