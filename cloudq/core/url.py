"""`BackendUrl`: a backend's URL as a value. Every driver reads its own parts of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import msgspec

from cloudq.errors import ConfigurationError, nearest

DEFAULT_URL: Final = "sqlite:///cloudq.db"

_LONGEST: Final = timedelta(days=366)
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z_-]{0,31}")


class BackendUrl(msgspec.Struct, frozen=True, kw_only=True):
    """A backend's URL in its parts.

    Attributes:
        scheme: Which driver.
        host: What stands between `//` and the next `/`, percent-decoded.
        path: What follows the host's `/`, without it, percent-decoded. So an absolute path starts with `/`.
        parameters: The query, each name once.
    """

    scheme: str
    host: str = ""
    path: str = ""
    parameters: Mapping[str, str] = {}

    def only(self, known: Iterable[str]) -> Mapping[str, str]:
        """The parameters, all of which the driver knows.

        Raises:
            ConfigurationError: It doesn't know one of them.
        """
        names = list(known)
        for name in self.parameters:
            if name not in names:
                raise ConfigurationError(
                    f"{self.scheme}:// has no parameter {shown_name(name)}: {nearest(name, names)}",
                    hint=f"its parameters: {', '.join(sorted(names)) or 'none'}",
                )
        return self.parameters

    def seconds(self, name: str, default: timedelta) -> timedelta:
        """The span that a parameter gives in seconds, or `default` where it is left out.

        Raises:
            ConfigurationError: It is no number from 0 to the seconds of a year.
        """
        text = self.parameters.get(name)
        if text is None:
            return default
        try:
            seconds = float(text)
            if not 0 <= seconds <= _LONGEST.total_seconds():
                raise ValueError
        except ValueError:
            raise ConfigurationError(f"{name} is not a number of seconds", hint=f"{name}=30") from None
        return timedelta(seconds=seconds)

    def timeout(self, default: timedelta) -> timedelta:
        """`?timeout=` in seconds, or `default`.

        Raises:
            ConfigurationError: It is no number of seconds, or zero.
        """
        timeout = self.seconds("timeout", default)
        if not timeout:
            raise ConfigurationError(
                "timeout=0 leaves no time for any call", hint=f"timeout={default.total_seconds():g}"
            )
        return timeout

    def size(self, name: str, default: int, *, least: int, most: int) -> int:
        """The number of bytes that a parameter gives, or `default` where it is left out.

        Raises:
            ConfigurationError: It is no whole number from `least` to `most`.
        """
        text = self.parameters.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal() and least <= int(text[:12]) <= most):
            raise ConfigurationError(
                f"{name} is not a number of bytes", hint=f"from {least:,} to {most:,}: {name}={default}"
            )
        return int(text)

    def __repr__(self) -> str:
        """As `str`."""
        return f"BackendUrl({self})"

    def __str__(self) -> str:
        """For banners and errors: a file by its absolute path; no parameter's value."""
        if self.scheme == "sqlite":
            return f"sqlite:///{Path(self.path).absolute()}"
        names = "&".join(f"{name}=…" for name in self.parameters)
        path = f"/{self.path}" if self.path else ""
        return f"{self.scheme}://{self.host}{path}" + (f"?{names}" if names else "")


def shown_name(name: str) -> str:
    """A parameter's name for an error, where it may be one: a key that somebody pasted there isn't shown."""
    return repr(name) if _NAME.fullmatch(name) else "of that name"


def check_port(address: str, setting: str) -> None:
    """Refuses an address that nothing can be called at, for its port.

    Args:
        address: A URL, or `host:port`; without a port it is fine.
        setting: What names it, for the text. Its value, which may hold a secret, isn't shown.

    Raises:
        ConfigurationError: The port isn't a number from 1 to 65535, or the address can't be read.
    """
    try:
        port = urlsplit(address if "://" in address else f"//{address}").port
    except ValueError:
        port = 0
    if port == 0:
        raise ConfigurationError(
            f"{setting} names no host and port that can be called", hint="a port is a number from 1 to 65535"
        )


def parse_url(url: str) -> BackendUrl:
    """The parts of a backend's URL.

    Raises:
        ConfigurationError: It isn't one, names a parameter twice, or holds credentials.
    """
    try:
        parts = urlsplit(url)
        host, path = unquote(parts.netloc, errors="strict"), unquote(parts.path.removeprefix("/"), errors="strict")
    except ValueError:
        # Python's own text may show what stands there.
        raise ConfigurationError("this is not a backend URL", hint=f"e.g. {DEFAULT_URL}") from None
    if not parts.scheme or "://" not in url:
        raise ConfigurationError("a backend URL starts with a scheme and ://", hint=f"e.g. {DEFAULT_URL}")
    if "@" in parts.netloc:
        # Not shown: it may hold a password.
        raise ConfigurationError(
            f"the {parts.scheme}:// URL holds credentials", hint="leave them to the environment, as the SDK reads them"
        )
    if parts.fragment:
        raise ConfigurationError("a backend URL has no #fragment", hint="write a # in a path as %23")
    if "\0" in path:
        raise ConfigurationError(f"the path of the {parts.scheme}:// URL holds a NUL character", hint="leave out %00")
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query), errors="strict")
    except ValueError:
        # Python's own text shows the value, which may be a secret.
        raise ConfigurationError(
            f"the parameters of the {parts.scheme}:// URL aren't name=value&name=value", hint="e.g. ?timeout=30"
        ) from None
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(
                f"the {parts.scheme}:// URL names the parameter {shown_name(name)} twice", hint="give it once"
            )
    return BackendUrl(
        scheme=parts.scheme,
        host=host,
        path=path,
        parameters=dict(pairs),
    )


def rooted(url: str) -> str:
    """The URL with the path of an SQLite file made absolute, as of the folder that is current now.

    Every other URL, and what is none, stays as it is.
    """
    prefix = "sqlite:///"
    path, mark, query = url[len(prefix) :].partition("?")
    if url[: len(prefix)].lower() != prefix or not path or path.startswith(("/", ":memory:")) or "#" in url:
        return url
    try:
        folder = quote(str(Path.cwd()))
    except OSError:  # the folder was deleted: opening the file will report that
        return url
    # Only what stands before the path is added: the path itself keeps its own percent-encoding.
    return f"{prefix}{folder}/{path}{mark}{query}"
