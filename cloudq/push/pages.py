"""`PushPages`: `/healthz` and `/readyz`, as the polling worker's, for a process that is pushed to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from cloudq.core.push import PushResponse
from cloudq.push.edge import PushEdge
from cloudq.running.pages import Page
from cloudq.telemetry.standing import Failing, OutageKind, Standing

_HEADERS: Final = {"Content-Type": "application/json", "Cache-Control": "no-store"}


class PushPages:
    """The contents of the pages. Does no I/O.

    Args:
        edge: What they are about.
    """

    def __init__(self, edge: PushEdge) -> None:
        self._edge = edge
        self._pages: Final[dict[str, Callable[[], Page]]] = {"/healthz": self.healthz, "/readyz": self.readyz}

    def healthz(self) -> Page:
        """Whether this process does its work: 503 means that it should be started again."""
        problems = [] if self._edge.watched else ["leases aren't watched any more"]
        if self._edge.admission.stuck:
            problems.append("every slot is held by a task whose time is over")
        return self._page(problems)

    def readyz(self) -> Page:
        """Whether it takes pushes now."""
        problems = list(self.healthz().problems)
        if self._edge.admission.closed:
            problems.append("stopping")
        if not self._certified():
            problems.append("the certificates can't be fetched, and no sender can be verified")
        return self._page(problems)

    def standing(self) -> Standing:
        """How it stands now, for its metrics."""
        counts = self._edge.snapshot()
        return Standing(
            ready=self.readyz().ok,
            slots=self._edge.settings.concurrency,
            waiting=counts.waiting,
            running=counts.running,
            settling=counts.settling,
            failing=[
                Failing(OutageKind.CERTIFICATES, "", not self._certified()),
                Failing(OutageKind.STORE, "", self._edge.store_is_down),
            ],
        )

    def _certified(self) -> bool:
        verifier = self._edge.verifier
        return verifier is None or verifier.certificates.check()

    def get(self, path: str) -> PushResponse:
        """The page of that path, whatever it is mounted under."""
        page = self._pages.get(f"/{path.rstrip('/').rpartition('/')[2]}")
        if page is None:
            return PushResponse(status=405, headers={**_HEADERS, "Allow": "POST"}, body=b'{"error":"pushes are POSTs"}')
        said = page()
        return PushResponse(status=200 if said.ok else 503, headers=_HEADERS, body=msgspec.json.encode(said))

    def _page(self, problems: list[str]) -> Page:
        return Page(ok=not problems, problems=problems, queues={}, counts=self._edge.snapshot())
