"""`StoreUrl`: the URL of a store of idempotency keys, which may hold a password, and never shows it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final
from urllib.parse import unquote, urlsplit

from cloudq.core.capabilities import CALL_TIMEOUT
from cloudq.core.store import LONGEST_NAMESPACE
from cloudq.core.url import BackendUrl, check_port, parse_url
from cloudq.errors import ConfigurationError

EXAMPLE: Final = "postgresql://user:password@host/database?prefix=prod"
_MASK: Final = "***"
# A password with a character that means something in a URL ends up here in parts, so what stands here isn't shown.
_HOST: Final = re.compile(r"(?:[A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_SHARED: Final = ("prefix", "timeout")


class StoreUrl(BackendUrl, frozen=True, kw_only=True):
    """A store's URL in its parts. Its texts show neither the user nor the password, nor any parameter's value.

    Attributes:
        user: Percent-decoded; `None` where the URL names none.
        password: As `user`.
    """

    user: str | None = None
    password: str | None = None

    def options(self, *known: str) -> dict[str, str]:
        """The parameters but for those that every store has, all of which are among `known`.

        Raises:
            ConfigurationError: One of them isn't.
        """
        parameters = self.only([*_SHARED, *known])
        return {name: value for name, value in parameters.items() if name not in _SHARED}

    def namespace(self, default: str) -> str:
        """`?prefix=`, or `default`: what keeps the keys of apps and environments apart that share a store.

        Raises:
            ConfigurationError: It is empty, or longer than `LONGEST_NAMESPACE` characters, or can't be printed.
        """
        given = self.parameters.get("prefix", default)
        if not given:
            raise ConfigurationError(
                f"the {self.scheme}:// store has an empty prefix: the keys of all who share it would be the same",
                hint="prefix=prod",
            )
        if len(given) > LONGEST_NAMESPACE or not given.isprintable():
            raise ConfigurationError(
                f"the prefix of the {self.scheme}:// store isn't a name of at most {LONGEST_NAMESPACE} characters",
                hint="prefix=prod",
            )
        return given

    def timeout(self, default: timedelta = CALL_TIMEOUT) -> timedelta:
        """`?timeout=` in seconds, or `default`: how long a call of the store may take.

        Raises:
            ConfigurationError: It is no number of seconds, or zero.
        """
        return BackendUrl.timeout(self, default)

    def __repr__(self) -> str:
        """As `str`."""
        return f"StoreUrl({self})"

    def __str__(self) -> str:
        """For banners and errors: a file by its absolute path."""
        shown = BackendUrl.__str__(self)
        if self.user is None and self.password is None:
            return shown
        return shown.replace("://", f"://{_MASK}@", 1)


def parse_store_url(url: str) -> StoreUrl:
    """The parts of a store's URL.

    Raises:
        ConfigurationError: It isn't one, or names a parameter twice. The text never shows what may be a password.
    """
    scheme, mark, _ = url.partition("://")
    if not mark or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        raise ConfigurationError("the URL of a store starts with a scheme and ://", hint=f"e.g. {EXAMPLE}")
    try:
        parts = urlsplit(url)
        credentials, at, host = parts.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        decoded = [unquote(part, errors="strict") for part in (user, password)]
    except ValueError:
        raise ConfigurationError(f"this {scheme}:// URL can't be read", hint=f"e.g. {EXAMPLE}") from None
    # What follows a password that was cut ends with its @, wherever the cut put it.
    cut = parts.fragment or "@" in parts.path + parts.query or not _HOST.fullmatch(host)
    if cut and scheme.lower() != "sqlite":
        raise ConfigurationError(
            f"the {scheme}:// URL names no host that can be one",
            hint="percent-encode what isn't a letter or a digit in the user and the password: %40 for @, %23 for #",
        )
    check_port(host, f"the {scheme}:// URL")
    plain = parse_url(url.replace(f"{credentials}@", "", 1) if at else url)
    return StoreUrl(
        scheme=plain.scheme,
        host=plain.host,
        path=plain.path,
        parameters=plain.parameters,
        user=decoded[0] or None,
        password=decoded[1] or None,
    )
