"""From a URL to an open driver. Drivers are loaded here, at the first use of their scheme."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

from cloudq.queues.urls import BackendUrl, parse_url
from cloudq.core.driver import Driver
from cloudq.errors import ConfigurationError, nearest

if TYPE_CHECKING:
    from cloudq.core.clock import Clock

Opener: TypeAlias = "Callable[[BackendUrl, Clock], Driver]"
"""Opens the driver that a URL names. Other packages add theirs under the entry point group `cloudq.drivers`."""

ENTRY_POINTS: Final = "cloudq.drivers"
# A key has no place in a URL, which is shown.
CONNECTION_STRING_VARIABLE: Final = "CLOUDQ_SERVICEBUS_CONNECTION_STRING"


def open_driver(url: str, clock: Clock) -> Driver:
    """The driver for a URL, opened.

    Raises:
        ConfigurationError: No driver has this scheme, or it doesn't know a parameter.
        BackendError: The backend can't be opened.
    """
    parsed = parse_url(url)
    opener = _OPENERS.get(parsed.scheme) or _installed(parsed.scheme)
    driver: Driver = opener(parsed, clock)
    return driver


def _memory(url: BackendUrl, clock: Clock) -> Driver:
    from cloudq.drivers.memory import MemoryDriver

    if url.host or url.path:
        raise ConfigurationError("memory:// has neither a host nor a path", hint="memory://")
    parameters = url.only({"dedup_window"})
    return MemoryDriver(clock=clock, dedup_window=_seconds(parameters, "dedup_window", timedelta(minutes=5)))


def _sqlite(url: BackendUrl, clock: Clock) -> Driver:
    from cloudq.drivers.sqlite import SQLiteDriver

    if url.host:
        raise ConfigurationError(
            f"sqlite:// takes a path, and {url.host!r} stands where a host would",
            hint="sqlite:///relative.db, or sqlite:////absolute/path.db",
        )
    if not url.path or url.path == ":memory:":
        raise ConfigurationError("sqlite:// needs the path of a file", hint="sqlite:///cloudq.db; for none: memory://")
    parameters = url.only({"synchronous", "busy_timeout", "dedup_window"})
    synchronous = parameters.get("synchronous", "full").lower()
    if synchronous not in {"full", "normal"}:
        raise ConfigurationError(f"synchronous={synchronous!r} is neither full nor normal")
    return SQLiteDriver(
        url.path,
        clock=clock,
        synchronous="full" if synchronous == "full" else "normal",
        busy_timeout=_seconds(parameters, "busy_timeout", timedelta(seconds=30)),
        dedup_window=_seconds(parameters, "dedup_window", timedelta(minutes=5)),
    )


def _sqs(url: BackendUrl, clock: Clock) -> Driver:
    if url.path:
        raise ConfigurationError(
            "sqs:// takes a region and no path", hint="sqs://eu-west-1?prefix=prod- for queues whose names start so"
        )
    if url.host and not _REGION.fullmatch(url.host):
        raise ConfigurationError(f"{url.host!r} is no region", hint="sqs://eu-west-1")
    parameters = url.only({"prefix", "account", "endpoint_url", "scheduler_role"})
    account, endpoint_url = parameters.get("account"), parameters.get("endpoint_url")
    if account is not None and not _ACCOUNT.fullmatch(account):
        raise ConfigurationError(f"account={account!r} is no account of AWS", hint="twelve digits")
    if endpoint_url is not None and not endpoint_url.startswith(("http://", "https://")):
        raise ConfigurationError("endpoint_url starts with neither http:// nor https://")
    role = parameters.get("scheduler_role")
    if role is not None and not _ROLE.fullmatch(role):
        raise ConfigurationError(
            f"scheduler_role={role!r} is no ARN of a role", hint="arn:aws:iam::123456789012:role/NAME, percent-encoded"
        )
    try:
        from cloudq.drivers.sqs import SQSDriver

        return SQSDriver(
            url.host or None,
            prefix=parameters.get("prefix", ""),
            account=account,
            endpoint_url=endpoint_url,
            scheduler_role=role,
            clock=clock,
        )
    except ModuleNotFoundError as error:
        raise _not_installed("sqs", error) from error


def _servicebus(url: BackendUrl, clock: Clock) -> Driver:
    if url.path:
        raise ConfigurationError(
            "servicebus:// takes a namespace and no path",
            hint="servicebus://NAMESPACE.servicebus.windows.net?prefix=prod- for queues whose names start so",
        )
    parameters = url.only({"prefix", "dedup_window", "max_session_hold", "max_message", "admin_endpoint"})
    connection_string = os.environ.get(CONNECTION_STRING_VARIABLE) or None
    if not url.host and connection_string is None:
        raise ConfigurationError(
            "servicebus:// names no namespace",
            hint=f"servicebus://NAMESPACE.servicebus.windows.net, or set {CONNECTION_STRING_VARIABLE}",
        )
    _refuse_other_namespace(url.host, connection_string)
    endpoint = parameters.get("admin_endpoint")
    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        raise ConfigurationError("admin_endpoint starts with neither http:// nor https://")
    window = _seconds(parameters, "dedup_window", timedelta(0))
    try:
        from cloudq.drivers.service_bus import ServiceBusDriver
        from cloudq.drivers.service_bus.limits import MAX_HOLD, MAX_MESSAGE
    except ModuleNotFoundError as error:
        raise _not_installed("servicebus", error) from error
    return ServiceBusDriver(
        url.host,
        connection_string=connection_string,
        prefix=parameters.get("prefix", ""),
        dedup_window=window or None,
        max_hold=_seconds(parameters, "max_session_hold", MAX_HOLD),
        max_message=_bytes(parameters, "max_message", MAX_MESSAGE),
        admin_endpoint=endpoint,
        clock=clock,
    )


def _refuse_other_namespace(host: str, connection_string: str | None) -> None:
    """Where the URL and the connection string name different namespaces, one of them isn't meant."""
    if not host or connection_string is None:
        return
    found = _ENDPOINT.search(connection_string)
    named = found.group(1).partition(":")[0] if found else ""
    if named.lower() != host.partition(":")[0].lower():
        raise ConfigurationError(
            f"the URL names {host!r}, and {CONNECTION_STRING_VARIABLE} another namespace",
            hint=f"unset {CONNECTION_STRING_VARIABLE}, or leave the host out: servicebus://",
        )


def _cloud_tasks(url: BackendUrl, clock: Clock) -> Driver:
    _check_place(url.host, url.path)
    parameters = url.only({"target", "service_account", "audience", "prefix", "max_body"})
    target, account, audience = (parameters.get(name) for name in ("target", "service_account", "audience"))
    _check_target(target, account)
    if account is not None and not _EMAIL.fullmatch(account):
        raise ConfigurationError(f"service_account={account!r} is no service account's e-mail address")
    if audience is not None and account is None:
        raise ConfigurationError(
            "audience is what a service account's token is for, and no account is given", hint="add service_account="
        )
    prefix = parameters.get("prefix", "")
    if prefix and not _PREFIX.fullmatch(prefix):
        raise ConfigurationError(f"prefix={prefix!r} can't start a queue's name", hint="letters, digits and hyphens")
    try:
        from cloudq.drivers.cloud_tasks import CloudTasksDriver
        from cloudq.drivers.cloud_tasks.limits import DEFAULT_MAX_BODY, LEAST_MAX_BODY, MOST_MAX_BODY
    except ModuleNotFoundError as error:
        raise _not_installed("cloudtasks", error) from error
    return CloudTasksDriver(
        url.host,
        url.path,
        target=target or "",
        service_account=account,
        audience=audience,
        prefix=prefix,
        max_body=_bytes(parameters, "max_body", DEFAULT_MAX_BODY, LEAST_MAX_BODY, MOST_MAX_BODY),
        clock=clock,
    )


def _check_place(project: str, location: str) -> None:
    """Refuses what can be no project and location, and says which of them it is."""
    hint = "cloudtasks://my-project/europe-west1?target=https://worker.example/"
    if not project or not location:
        raise ConfigurationError("cloudtasks:// takes a project and a location", hint=hint)
    if not _PROJECT.fullmatch(project):
        raise ConfigurationError(
            f"cloudtasks:// takes a project and a location, and {project!r} is no project", hint=hint
        )
    if not _LOCATION.fullmatch(location):
        raise ConfigurationError(
            f"cloudtasks:// takes a project and a location, and {location!r} is no location", hint=hint
        )


def _check_target(target: str | None, account: str | None) -> None:
    """Refuses a URL that nothing can be pushed to, or that a token would travel to in the clear."""
    parts = urlsplit(target or "")
    if parts.scheme not in {"http", "https"} or not parts.hostname or len(target or "") > _LONGEST_TARGET:
        raise ConfigurationError(
            "cloudtasks:// needs the URL that messages are pushed to", hint="?target=https://worker.example/"
        )
    if account is not None and parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        raise ConfigurationError(
            "target is an http:// URL, to which the service account's token would travel in the clear",
            hint="use https://",
        )


_OPENERS: Final[Mapping[str, Opener]] = {
    "memory": _memory,
    "servicebus": _servicebus,
    "sqlite": _sqlite,
    "sqs": _sqs,
    "cloudtasks": _cloud_tasks,
}
_ENDPOINT: Final = re.compile(r"Endpoint\s*=\s*sb://([^/;]+)", re.IGNORECASE)
_LEAST_BYTES: Final = 64 * 1024
_MOST_BYTES: Final = 100 * 1024 * 1024
# Google's own form for a project, a company's domain before it included; but shorter ones and locations of one word are
# taken, too, since emulators have them: dev/local.
_PROJECT: Final = re.compile(r"([a-z0-9.-]+:)?[a-z](?:[a-z0-9-]{0,28}[a-z0-9])?")
_LOCATION: Final = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_PREFIX: Final = re.compile(r"[A-Za-z0-9-]{1,60}")
_LONGEST_TARGET: Final = 2083  # characters in an HttpRequest's URL
_REGION: Final = re.compile(r"[a-z]{2,}(-[a-z0-9]+)+")
_ROLE: Final = re.compile(r"arn:aws(?:-[a-z]+)*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+")
_ACCOUNT: Final = re.compile(r"[0-9]{12}")


def _installed(scheme: str) -> Opener:
    from importlib.metadata import entry_points

    found = entry_points(group=ENTRY_POINTS)
    for entry in found:
        if entry.name == scheme:
            opener: Opener = entry.load()
            return opener
    known = {*_OPENERS, *(entry.name for entry in found)}
    raise ConfigurationError(
        f"there is no backend {scheme!r}: {nearest(scheme, known)}", hint="backends: " + ", ".join(sorted(known))
    )


def _not_installed(extra: str, error: ModuleNotFoundError) -> ConfigurationError:
    return ConfigurationError(
        f"the backend {extra!r} needs the module {error.name!r}, which isn't installed",
        hint=f"pip install 'cloudq[{extra}]'",
    )


def _bytes(
    parameters: Mapping[str, str], name: str, default: int, least: int = _LEAST_BYTES, most: int = _MOST_BYTES
) -> int:
    text = parameters.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and least <= int(text[:12]) <= most):
        raise ConfigurationError(
            f"{name}={text!r} is no number of bytes", hint=f"from {least:,} to {most:,}: {name}={default}"
        )
    return int(text)


def _seconds(parameters: Mapping[str, str], name: str, default: timedelta) -> timedelta:
    text = parameters.get(name)
    if text is None:
        return default
    try:
        seconds = float(text)
        if not 0 <= seconds <= timedelta(days=366).total_seconds():
            raise ValueError
    except ValueError:
        raise ConfigurationError(f"{name}={text!r} is no number of seconds", hint=f"{name}=30") from None
    return timedelta(seconds=seconds)
