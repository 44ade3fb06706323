"""The guard of a test run: a backend that isn't for tests is opened by nobody who didn't say so."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from cloudq.core.url import BackendUrl, parse_url
from cloudq.errors import CloudqError, ConfigurationError

HINT: Final = (
    "let the test ask for the fixture `cloudq_app`, or work within `cloudq.testing.in_memory(app)`; one that is meant"
    " to use this backend is marked `@pytest.mark.cloudq_allow_real`, or the ini option cloudq_allow_real names the URL"
)
# Names that resolve to this machine: the last is LocalStack's.
_LOOPBACK_NAMES: Final = ("localhost", "localhost.localstack.cloud")

_allowing: list[object] = []


class RealBackendWarning(FutureWarning):
    """A test run opens a backend that isn't for tests. In the next release that is an error."""


@contextmanager
def allow_real() -> Iterator[None]:
    """Within the block any backend may be opened, in every thread: for fixtures, whose tests carry no marker.

    Example:
        ```python
        @pytest.fixture(scope="session")
        def staging():
            with cloudq.testing.allow_real():
                shop.app.send("shop.ping")
                yield
        ```
    """
    token = object()
    _allowing.append(token)
    try:
        yield
    finally:
        _allowing.remove(token)


class Guard:
    """Looks at each URL that a test run opens.

    Args:
        patterns: Of URLs that may be opened, as shells have them: `sqs://eu-west-1?prefix=test-*`.
        is_error: Whether what may not be opened is an error, and not opened; else it is a warning.
        temporary: Gives the folders in which databases may be opened.
    """

    def __init__(
        self, patterns: Sequence[str], *, is_error: bool, temporary: Callable[[], Sequence[Path]] = tuple
    ) -> None:
        self._patterns = patterns
        self._is_error = is_error
        self._temporary = temporary
        self._told: WeakKeyDictionary[object, set[str]] = WeakKeyDictionary()

    def look(self, opener: object, url: str) -> None:
        """Lets a URL be opened, or says what to do: once for each opener and URL where it is a warning.

        Raises:
            ConfigurationError: It may not be opened.
        """
        try:
            parsed = parse_url(url)
        except CloudqError:
            return  # opening it will say what is wrong
        if _allowing or self._is_allowed(url) or is_for_tests(parsed, self._temporary()):
            return
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
        what = f"{test or 'the test run'} opens {parsed}, which is no backend for tests"
        if self._is_error:
            raise ConfigurationError(what, hint=HINT)
        told = self._told.setdefault(opener, set())
        if url not in told:
            # Where warnings are errors this raises, and raises the next time as well.
            warnings.warn(
                f"{what}; from the next release of cloudq on this is an error (at once with the ini option"
                f" cloudq_real_backends = error); hint: {HINT}",
                RealBackendWarning,
                stacklevel=_level_of_the_caller(),
            )
            told.add(url)

    def _is_allowed(self, url: str) -> bool:
        return any(fnmatchcase(url, pattern) for pattern in self._patterns)


def is_for_tests(url: BackendUrl, temporary: Sequence[Path], environment: Mapping[str, str] = os.environ) -> bool:
    """Whether nothing outside of a test run can be meant: memory, a file in its own folders, an emulator."""
    match url.scheme:
        case "memory":
            return True
        case "sqlite":
            path = Path(url.path).absolute().resolve()
            return any(path.is_relative_to(folder.resolve()) for folder in temporary)
        case "sqs":
            return is_loopback(_aws_endpoint(url, environment))
        case "cloudtasks":
            return is_loopback(environment.get("CLOUD_TASKS_EMULATOR_HOST", ""))
        case "servicebus":
            return _is_service_bus_of_tests(url, environment.get("CLOUDQ_SERVICEBUS_CONNECTION_STRING", ""))
        case _:
            return is_loopback(url.host)


def is_loopback(address: str) -> bool:
    """Whether a URL, or a host with or without its port, is this machine."""
    try:
        host = urlsplit(address if "://" in address else f"//{address}").hostname or ""
    except ValueError:
        return False
    if host in _LOOPBACK_NAMES or host.endswith((".localhost", ".localhost.localstack.cloud")):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _aws_endpoint(url: BackendUrl, environment: Mapping[str, str]) -> str:
    """Where the SDK goes, as far as URL and environment say it."""
    given = url.parameters.get("endpoint_url")
    if given is not None or environment.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return given or ""
    return environment.get("AWS_ENDPOINT_URL_SQS") or environment.get("AWS_ENDPOINT_URL") or ""


def _is_service_bus_of_tests(url: BackendUrl, connection_string: str) -> bool:
    """A connection string stands above the URL; every emulator's says that it is one, wherever it runs."""
    if not connection_string:
        return is_loopback(url.host)
    pairs = (part.partition("=") for part in connection_string.split(";"))
    parts = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return parts.get("usedevelopmentemulator", "").lower() == "true" or is_loopback(parts.get("endpoint", ""))


def _level_of_the_caller() -> int:
    """How far up the first frame is that isn't cloudq's own, counted from the caller of this function."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "cloudq":
        level, frame = level + 1, frame.f_back
    return level
