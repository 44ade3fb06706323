"""Where a queue is: `CLOUDQ_URL` and its rules."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from cloudq.errors import ConfigurationError, nearest

DEFAULT_URL = "sqlite:///cloudq.db"
URL_VARIABLE = "CLOUDQ_URL"

# Set by the platform itself wherever a local file would be lost with its container, or be seen by one instance only.
_HOSTED = {
    "AWS_LAMBDA_FUNCTION_NAME": "AWS Lambda",
    "K_SERVICE": "Cloud Run",
    "KUBERNETES_SERVICE_HOST": "Kubernetes",
    "ECS_CONTAINER_METADATA_URI_V4": "Amazon ECS",
}


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")


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
                raise ConfigurationError(f"{self.scheme}:// has no parameter {name!r}: {nearest(name, names)}")
        return self.parameters

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


def parse_url(url: str) -> BackendUrl:
    """The parts of a backend's URL.

    Raises:
        ConfigurationError: It isn't one, names a parameter twice, or holds credentials.
    """
    try:
        parts = urlsplit(url)
        host, path = unquote(parts.netloc, errors="strict"), unquote(parts.path.removeprefix("/"), errors="strict")
    except ValueError as error:
        raise ConfigurationError(f"this is no backend URL: {error}", hint=f"e.g. {DEFAULT_URL}") from None
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
        raise ConfigurationError(f"the path of the {parts.scheme}:// URL holds a NUL character")
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query), errors="strict")
    except ValueError:
        # Python's own text shows the value, which may be a secret.
        raise ConfigurationError(f"the parameters of the {parts.scheme}:// URL are no name=value&name=value") from None
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f"the {parts.scheme}:// URL names the parameter {name!r} twice")
    return BackendUrl(
        scheme=parts.scheme,
        host=host,
        path=path,
        parameters=dict(pairs),
    )


def backend_url(given: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """The URL in force: the given one, else `CLOUDQ_URL`, else a file in the current folder.

    Args:
        given: A URL, a bare scheme (`sqs`), or `None`.
        environment: Where to look up `CLOUDQ_URL`.

    Raises:
        ConfigurationError: A bare scheme that `CLOUDQ_URL` doesn't complete; or no URL at all where a local file
            would be lost.
    """
    configured = environment.get(URL_VARIABLE) or None
    if given is not None and "://" in given:
        return given
    if given is not None:
        if not _SCHEME.fullmatch(given):
            # Not shown: it may be a connection string.
            raise ConfigurationError("what was given is neither a backend URL nor a scheme", hint=f"e.g. {DEFAULT_URL}")
        return _completed(given.lower(), configured)
    if configured is not None:
        return configured
    for variable, platform in _HOSTED.items():
        if environment.get(variable):
            raise ConfigurationError(
                f"no backend is set, and a local file would be lost on {platform} ({variable} is set)",
                hint=f"set {URL_VARIABLE} to where messages outlive the container",
            )
    return DEFAULT_URL


def _completed(scheme: str, configured: str | None) -> str:
    """The URL for a bare scheme."""
    if configured is not None:
        set_scheme = parse_url(configured).scheme
        if set_scheme == scheme:
            return configured
        raise ConfigurationError(
            f"the backend {scheme!r} was asked for, but {URL_VARIABLE} names {set_scheme!r}",
            hint=f"give a whole URL, or set {URL_VARIABLE} to one that starts with {scheme}://",
        )
    if scheme == "sqlite":
        return DEFAULT_URL
    if scheme == "memory":
        return "memory://"
    raise ConfigurationError(
        f"the backend {scheme!r} needs a URL", hint=f"give one that starts with {scheme}://, or set {URL_VARIABLE}"
    )
