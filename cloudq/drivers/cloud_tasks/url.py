"""`open_url`: what a `cloudtasks://PROJECT/LOCATION?target=…&service_account=…` says, and the driver it opens."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from cloudq.core.clock import Clock
from cloudq.core.plain_text import ALLOW_INSECURE, allows_insecure, is_loopback
from cloudq.core.url import BackendUrl, check_port
from cloudq.drivers.cloud_tasks.driver import TIMEOUT, CloudTasksDriver
from cloudq.drivers.cloud_tasks.limits import DEFAULT_MAX_BODY, LEAST_MAX_BODY, MOST_MAX_BODY
from cloudq.errors import ConfigurationError

# Google's own form for a project, a company's domain before it included; but shorter ones and locations of one word are
# taken, too, since emulators have them: dev/local.
_PROJECT: Final = re.compile(r"([a-z0-9.-]+:)?[a-z](?:[a-z0-9-]{0,28}[a-z0-9])?")
_LOCATION: Final = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_PREFIX: Final = re.compile(r"[A-Za-z0-9-]{1,60}")
_LONGEST_TARGET: Final = 2083  # characters in an HttpRequest's URL


def open_url(url: BackendUrl, clock: Clock) -> CloudTasksDriver:
    """Opens the driver that a URL names.

    Raises:
        ConfigurationError: The URL can't be used.
        BackendError: The backend can't be opened.
    """
    _check_place(url.host, url.path)
    parameters = url.only({"target", "service_account", "audience", "prefix", "max_body", "timeout", ALLOW_INSECURE})
    target, account, audience = (parameters.get(name) for name in ("target", "service_account", "audience"))
    _check_target(target, account)
    if account is not None and not _EMAIL.fullmatch(account):
        raise ConfigurationError(
            "service_account is not the e-mail address of a service account",
            hint="name@my-project.iam.gserviceaccount.com",
        )
    if audience is not None and account is None:
        raise ConfigurationError(
            "audience is what a service account's token is for, and no account is given", hint="add service_account="
        )
    prefix = parameters.get("prefix", "")
    if prefix and not _PREFIX.fullmatch(prefix):
        raise ConfigurationError("prefix can't start a queue's name", hint="letters, digits and hyphens")
    return CloudTasksDriver(
        url.host,
        url.path,
        target=target or "",
        service_account=account,
        audience=audience,
        prefix=prefix,
        max_body=url.size("max_body", DEFAULT_MAX_BODY, least=LEAST_MAX_BODY, most=MOST_MAX_BODY),
        timeout=url.timeout(TIMEOUT),
        allow_insecure=allows_insecure(url),
        clock=clock,
    )


def _check_place(project: str, location: str) -> None:
    """Refuses what can be no project and location, and says which of them it is."""
    hint = "cloudtasks://my-project/europe-west1?target=https://worker.example/"
    if not project or not location:
        raise ConfigurationError("cloudtasks:// takes a project and a location", hint=hint)
    if not _PROJECT.fullmatch(project):
        raise ConfigurationError(
            "cloudtasks:// takes a project and a location, and the first is not a project", hint=hint
        )
    if not _LOCATION.fullmatch(location):
        raise ConfigurationError(
            "cloudtasks:// takes a project and a location, and the second is not a location", hint=hint
        )


def _check_target(target: str | None, account: str | None) -> None:
    """Refuses a URL that nothing can be pushed to, or that a token would travel to in the clear."""
    check_port(target or "", "target")
    parts = urlsplit(target or "")
    if parts.scheme not in {"http", "https"} or not parts.hostname or len(target or "") > _LONGEST_TARGET:
        raise ConfigurationError(
            "cloudtasks:// needs the URL that messages are pushed to", hint="?target=https://worker.example/"
        )
    if account is not None and parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ConfigurationError(
            "target is an http:// URL, to which the service account's token would travel in the clear",
            hint="use https://",
        )
