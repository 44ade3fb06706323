"""From a URL to an open driver. A driver's module is imported here, at the first use of its scheme."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final, TypeAlias

from cloudq.core.clock import Clock
from cloudq.core.driver import Driver
from cloudq.core.url import BackendUrl, parse_url
from cloudq.errors import ConfigurationError, nearest

Opener: TypeAlias = "Callable[[BackendUrl, Clock], Driver]"
"""Opens the driver that a URL names: what an entry point of the group `cloudq.drivers` refers to."""

ENTRY_POINTS: Final = "cloudq.drivers"

# A table, not entry points of our own: a zip file that holds the package (a Lambda's, say) has no metadata. The
# functions in the table have the signature that a third party's entry point has.
_BUILT_IN: Final[Mapping[str, str]] = {
    "memory": "cloudq.drivers.memory.url",
    "servicebus": "cloudq.drivers.service_bus.url",
    "sqlite": "cloudq.drivers.sqlite.url",
    "sqs": "cloudq.drivers.sqs.url",
    "cloudtasks": "cloudq.drivers.cloud_tasks.url",
}


def open_driver(url: str, clock: Clock) -> Driver:
    """The driver for a URL, opened.

    Raises:
        ConfigurationError: No driver has this scheme, or it doesn't know a parameter.
        BackendError: The backend can't be opened.
    """
    parsed = parse_url(url)
    if parsed.scheme not in _BUILT_IN:
        return _load_installed(parsed.scheme)(parsed, clock)
    try:
        return _load_built_in(parsed.scheme)(parsed, clock)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the backend {parsed.scheme!r} needs the module {error.name!r}, which isn't installed",
            hint=f"pip install 'cloudq[{parsed.scheme}]'",
        ) from error


def _load_built_in(scheme: str) -> Opener:
    opener: Opener = import_module(_BUILT_IN[scheme]).open_url
    return opener


def _load_installed(scheme: str) -> Opener:
    from importlib.metadata import entry_points

    found = entry_points(group=ENTRY_POINTS)
    for entry in found:
        if entry.name == scheme:
            opener: Opener = entry.load()
            return opener
    known = {*_BUILT_IN, *(entry.name for entry in found)}
    raise ConfigurationError(
        f"there is no backend {scheme!r}: {nearest(scheme, known)}", hint="backends: " + ", ".join(sorted(known))
    )
