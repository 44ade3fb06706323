"""What a push says, and how it is answered. Pure: no call, no clock, no SDK."""

from __future__ import annotations

from typing import Final

from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import Ack, FinalStep, Release
from cloudq.core.push import PushRequest, PushResponse
from cloudq.drivers.cloud_tasks import headers
from cloudq.drivers.cloud_tasks.names import Names
from cloudq.errors import PushRefused, UnsupportedError

QUEUE: Final = "x-cloudtasks-queuename"
TASK: Final = "x-cloudtasks-taskname"
RETRY_COUNT: Final = "x-cloudtasks-taskretrycount"

ACKED: Final = PushResponse(status=200)
# Not 503 or 429: those would make the service slow down the whole queue for the sake of one message.
RELEASED: Final = PushResponse(status=500)


def decoded(request: PushRequest, names: Names) -> Delivery:
    """The delivery that a request is.

    The attempt is that of the copy: a retry is a copy of its own, and what the service pushes again by itself (a worker
    that died, a copy that couldn't be stored) counts as a delivery only (semantics 8).

    Raises:
        PushRefused: The headers aren't those of a push of a queue of these.
    """
    queue = names.of_pushed(_header(request, QUEUE))
    if queue is None:
        raise PushRefused(
            f"queue {_header(request, QUEUE)!r} isn't one of this backend's", hint="see the URL's parameter prefix"
        )
    task = _header(request, TASK)
    retries = _header(request, RETRY_COUNT)
    if not retries.isascii() or not retries.isdigit() or len(retries) > 10:
        raise PushRefused(f"the header {RETRY_COUNT} is {retries[:60]!r}, not a number")
    deadline = headers.deadline_of(request.headers)
    expires_at, ends = request.received_at + deadline, request.received + deadline
    return Delivery.of(
        request.body,
        native_id=task,
        runs=1,
        deliveries=int(retries) + 1,
        copy=task,
        lease=Lease(queue=queue, receipt=task, expires_at=expires_at, hard_limit=expires_at, ends=ends, hard_end=ends),
        failure=headers.failure_of(request.headers),
        raw=request,
    )


def encoded(step: FinalStep) -> PushResponse:
    """The answer that carries the step out.

    Raises:
        UnsupportedError: Cloud Tasks has no dead letters of its own.
    """
    if isinstance(step, Ack):
        return ACKED
    if isinstance(step, Release):
        return RELEASED
    raise UnsupportedError("Google Cloud Tasks has no dead letters of its own: they are copied to a queue")


def _header(request: PushRequest, name: str) -> str:
    value = request.headers.get(name)
    if not value:
        raise PushRefused(f"the header {name} is missing: this is not a push of Google Cloud Tasks")
    return value
