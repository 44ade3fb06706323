"""What Google runs beside the queues: the Cloud Run service that they push to, and how long it lets a request take.

By `projects.locations.services.list` of the Cloud Run Admin API v2 (reference, 2026-11): it only reads. A service is
found by its address, so only one of Cloud Run's own (`….run.app`) can be looked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from cloudq.app import App
from cloudq.cli.doctor.fault import Finding, Unchecked
from cloudq.cli.doctor.queue_law import Looked
from cloudq.cli.queue_needs import request_timeout
from cloudq.core.plain_text import check_plain_text
from cloudq.core.url import parse_url
from cloudq.errors import CloudqError

# As gcloud's own commands have it: where else the service's API is, without credentials on this machine.
ENDPOINT: Final = "CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN"
_EMULATOR: Final = "CLOUD_TASKS_EMULATOR_HOST"
_API: Final = "https://run.googleapis.com"
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_OWN: Final = ".run.app"
# Where the service doesn't say: "Setting request timeout for services", Cloud Run documentation, 2026-11.
_DEFAULT: Final = "300s"
_PAGES: Final = 20
_PATIENCE: Final = 10.0


class CloudRun:
    """The service that an app's queues push to.

    Args:
        app: On Cloud Tasks.
    """

    def __init__(self, app: App) -> None:
        url = parse_url(app.url)
        self._project, self._location = url.host, url.path.strip("/")
        self._host = (urlsplit(url.parameters.get("target", "")).hostname or "").lower()
        self._answer: timedelta | str | None = None

    def findings(self, looked: Looked) -> Iterator[Finding | Unchecked]:
        """Whether it ends a request before a task of the queue may end. The service is asked once for all queues."""
        if looked.needs is None or not self._is_to_be_asked():
            return
        if self._answer is None:
            self._answer = self._ask()
        if isinstance(self._answer, str):
            yield Unchecked(
                what=f"the request timeout of what queue {looked.queue!r} is pushed to, {self._host}", why=self._answer
            )
            return
        least = request_timeout([looked.needs])
        if self._answer < timedelta(seconds=least):
            given = f"{self._answer.total_seconds():g}s"
            words = f"its Cloud Run service's timeout is {given}, and a push may take {least} seconds"
            yield looked.found("request-timeout", words, least)

    def _is_to_be_asked(self) -> bool:
        return self._host.endswith(_OWN) and (_EMULATOR not in os.environ or ENDPOINT in os.environ)

    def _ask(self) -> timedelta | str:
        """The service's timeout, or why it isn't known."""
        endpoint = os.environ.get(ENDPOINT, _API).rstrip("/")
        try:
            check_plain_text(endpoint, setting=ENDPOINT, allowed=False)
            with closing(_session(endpoint)) as session:
                for service in self._services(session, endpoint):
                    addresses = [service.get("uri"), *(service.get("urls") or ())]
                    if self._host in {urlsplit(str(address)).hostname for address in addresses}:
                        return _span((service.get("template") or {}).get("timeout") or _DEFAULT)
        except CloudqError as error:
            return error.message
        except Exception as error:  # noqa: BLE001 - no credentials, no answer, an odd one: whatever it is, it is said
            return f"{type(error).__name__}: {error}"
        return f"no service of {self._region()} in project {self._project} has that address"

    def _services(self, session: Any, endpoint: str) -> Iterator[Mapping[str, Any]]:
        url = f"{endpoint}/v2/projects/{self._project}/locations/{self._region()}/services"
        page = ""
        for _ in range(_PAGES):
            answer = session.get(url, params={"pageSize": 100, "pageToken": page}, timeout=_PATIENCE)
            if answer.status_code in {401, 403}:
                raise PermissionError("it takes the permission run.services.list")
            answer.raise_for_status()
            told = answer.json()
            yield from told.get("services") or ()
            page = told.get("nextPageToken") or ""
            if not page:
                return

    def _region(self) -> str:
        """`NAME-NUMBER.REGION.run.app` names it; the older `NAME-HASH-xx.a.run.app` doesn't: then it is the queues'."""
        parts = self._host.split(".")
        return parts[-3] if len(parts) == 4 and parts[-3] != "a" else self._location


def _session(endpoint: str) -> Any:
    if not endpoint.startswith("https://"):
        import requests

        return requests.Session()
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    credentials, _ = google.auth.default(scopes=[_SCOPE])
    return AuthorizedSession(credentials)


def _span(text: str) -> timedelta:
    """Of a duration as the API writes it, `300s` or `0.5s`."""
    return timedelta(seconds=float(text.removesuffix("s")))
