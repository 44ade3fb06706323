"""`HttpRefusal`: a request that is answered without anything of it being run, and how such refusals are logged."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Final

import msgspec

from cloudq.core.clock import Clock
from cloudq.core.push import PushResponse
from cloudq.core.safe_log import SafeLogger

logger = SafeLogger("cloudq.push")

# At most one line for each status in this time, so that nobody can fill the log by sending garbage.
QUIET: Final = timedelta(seconds=60)
# These don't tell the sender what was wrong: the reason is for the log only.
_CURT: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_NO_HEADERS: Final[Mapping[str, str]] = {}

ERROR: Final = PushResponse(
    status=500, headers={"Content-Type": "application/json"}, body=b'{"error":"an unexpected error"}'
)


class HttpRefusal(Exception):
    """A request isn't taken.

    Attributes:
        status: The HTTP status.
        reason: Why, for a person. Never holds anything of a token or a body.
        headers: Of the answer.
    """

    def __init__(self, status: int, reason: str, *, headers: Mapping[str, str] = _NO_HEADERS) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = headers

    def response(self) -> PushResponse:
        """The answer."""
        status = HTTPStatus(self.status)
        said = status.phrase if status in _CURT else self.reason
        return PushResponse(
            status=self.status,
            headers={"Content-Type": "application/json", **self.headers},
            body=msgspec.json.encode({"error": said}),
        )


class RefusalLog:
    """Logs refusals, of each status one in a minute, with the number of those left out. Thread-safe.

    Args:
        clock: Where the time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[int, tuple[timedelta, int]] = {}

    def answer_to(self, error: Exception) -> PushResponse:
        """The answer to a request that ended in an error, which is logged. Nothing was settled by it."""
        if isinstance(error, HttpRefusal):
            self.log(error)
            return error.response()
        logger.error("a push could not be handled; it comes again", exc_info=error)
        return ERROR

    def log(self, refused: HttpRefusal) -> None:
        """Logs this one, or counts it."""
        now = self._clock.elapsed()
        with self._lock:
            last, unsaid = self._last.get(refused.status, (None, 0))
            if last is not None and now - last < QUIET:
                self._last[refused.status] = (last, unsaid + 1)
                return
            self._last[refused.status] = (now, 0)
        more = f" (and {unsaid} more since the last line)" if unsaid else ""
        logger.warning("a push was refused with %d: %s%s", refused.status, refused.reason, more)
