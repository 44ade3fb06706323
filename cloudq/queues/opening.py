"""From a URL to an open driver. A driver's module is imported here, at the first use of its scheme."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

from cloudq.core.clock import Clock
from cloudq.core.driver import Driver
from cloudq.core.url import BackendUrl, parse_url
from cloudq.errors import ConfigurationError, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

Opener: TypeAlias = "Callable[[BackendUrl, Clock], Driver]"
"""Opens the driver that a URL names: what an entry point of the group `cloudq.drivers` refers to."""

ENTRY_POINTS: Final = "cloudq.drivers"

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")
_SQS_HOST: Final = re.compile(r"(?:sqs\.)?([a-z]+(?:-[a-z]+)+-[0-9]+)(?:\.queue)?\.amazonaws\.com(?:\.cn)?")

# A table, not entry points of our own: a zip file that holds the package (a Lambda's, say) has no metadata. The
# functions in the table have the signature that a third party's entry point has.
_BUILT_IN: Final[Mapping[str, str]] = {
    "memory": "cloudq.drivers.memory.url",
    "servicebus": "cloudq.drivers.service_bus.url",
    "sqlite": "cloudq.drivers.sqlite.url",
    "sqs": "cloudq.drivers.sqs.url",
    "cloudtasks": "cloudq.drivers.cloud_tasks.url",
}


# The module that each of them needs of its SDK: a namespace package's own name (`google`, `azure`) tells nobody which.
_SDK: Final[Mapping[str, str]] = {
    "cloudtasks": "google.cloud.tasks",
    "servicebus": "azure.servicebus",
    "sqs": "botocore",
}


def open_driver(url: str, clock: Clock) -> Driver:
    """The driver for a URL, opened.

    Raises:
        ConfigurationError: No driver has this scheme, or it doesn't know a parameter.
        BackendError: The backend can't be opened.
    """
    refuse_unknown(url)
    parsed = parse_url(url)
    if parsed.scheme not in _BUILT_IN:
        return _load_installed(parsed.scheme)(parsed, clock)
    try:
        return _load_built_in(parsed.scheme)(parsed, clock)
    except ModuleNotFoundError as error:
        module = _whole(error.name, parsed.scheme)
        raise ConfigurationError(
            f"the backend {parsed.scheme!r} needs the module {module!r}, which isn't installed",
            hint=f"pip install 'cloudq[{parsed.scheme}]'",
        ) from error


def refuse_unknown(url: str) -> None:
    """Refuses a URL, or a bare scheme, of no backend: before what else is wrong with it, which wouldn't matter.

    What has no scheme at all passes: `parse_url` says so.

    Raises:
        ConfigurationError: No driver has this scheme.
    """
    if url[: len("endpoint=")].lower() == "endpoint=":
        # Not shown: it holds a key.
        raise ConfigurationError(
            "a connection string of Azure Service Bus is no backend URL",
            hint="servicebus://NAMESPACE.servicebus.windows.net, and the string in CLOUDQ_SERVICEBUS_CONNECTION_STRING",
        )
    scheme = url.partition("://")[0].lower()
    if scheme in _BUILT_IN or not _SCHEME.fullmatch(scheme):
        return
    known = {*_BUILT_IN, *(entry.name for entry in _installed())}
    if scheme not in known:
        raise ConfigurationError(f"there is no backend {scheme!r}", hint=_instead(url, scheme, known))


def _instead(url: str, scheme: str, known: Collection[str]) -> str:
    """What to write in place of a URL that is no backend's."""
    if scheme in {"http", "https"}:
        host = urlsplit(url).hostname or ""
        region = _SQS_HOST.fullmatch(host)
        if region:
            return f"sqs://{region.group(1)}"
        if host.endswith(".servicebus.windows.net"):
            return f"servicebus://{host}"
        return "a backend's URL names a service, not a web address: sqs://eu-west-1; for another server endpoint_url="
    if scheme == "sb":
        return "servicebus://NAMESPACE.servicebus.windows.net"
    if scheme == "file":
        return "sqlite:///relative.db, or sqlite:////absolute/path.db"
    close = nearest(scheme, known)
    return close if close.startswith("did you mean") else "backends: " + ", ".join(sorted(known))


def _whole(module: str | None, scheme: str) -> str | None:
    sdk = _SDK.get(scheme, "")
    return sdk if module is not None and sdk.startswith(f"{module}.") else module


def _load_built_in(scheme: str) -> Opener:
    opener: Opener = import_module(_BUILT_IN[scheme]).open_url
    return opener


def _load_installed(scheme: str) -> Opener:
    opener: Opener = next(entry for entry in _installed() if entry.name == scheme).load()
    return opener


def _installed() -> EntryPoints:
    from importlib.metadata import entry_points

    return entry_points(group=ENTRY_POINTS)
