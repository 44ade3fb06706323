"""The kit catches drivers of backends that push which break the contract: each is wrong in one way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from msgspec.structs import replace

from cloudq.core.delivery import Delivery
from cloudq.core.driver import Ack, Final, Outgoing, SendResult
from cloudq.core.push import PushRequest, PushResponse
from cloudq.drivers.cloud_tasks import CloudTasksDriver, pushing
from cloudq.errors import UnsupportedError
from cloudq.testing.conformance import SPOILS, Bench, PushConformance
from tests.conformance.cloud_tasks import CloudTasksHarness, Emulated


class AcksFail(CloudTasksDriver):
    """Answers everything with an error."""

    def encode(self, final: Final) -> PushResponse:
        return PushResponse(status=500)


class ReleasesDelete(CloudTasksDriver):
    """Answers everything with a success."""

    def encode(self, final: Final) -> PushResponse:
        return PushResponse(status=200)


class ReleasesElsewhere(CloudTasksDriver):
    """Answers a release with a redirection, which some clients follow."""

    def encode(self, final: Final) -> PushResponse:
        return PushResponse(status=200 if isinstance(final.step, Ack) else 307)


class CountsPushes(CloudTasksDriver):
    """Takes the service's retries for attempts."""

    def decode(self, request: PushRequest) -> Delivery:
        delivery = super().decode(request)
        return replace(delivery, attempt=delivery.attempt + delivery.deliveries - 1)


class TakesAnything(CloudTasksDriver):
    """Decodes what is no push."""

    def decode(self, request: PushRequest) -> Delivery:
        usual = {pushing.QUEUE: "emails", pushing.TASK: "1", pushing.RETRY_COUNT: "0"}
        given = {name: value for name, value in request.headers.items() if value}
        return super().decode(replace(request, headers={**usual, **given}))


class PromisesMore(CloudTasksDriver):
    """States leases that are longer than the service waits."""

    def decode(self, request: PushRequest) -> Delivery:
        delivery = super().decode(request)
        lease = delivery.lease
        assert lease.ends is not None
        until, ends = lease.expires_at + timedelta(minutes=5), lease.ends + timedelta(minutes=5)
        longer = replace(lease, expires_at=until, hard_limit=until, ends=ends, hard_end=ends)
        return replace(delivery, lease=longer)


class LooksAtTheClock(CloudTasksDriver):
    """Counts leases from when they are decoded."""

    def decode(self, request: PushRequest) -> Delivery:
        return super().decode(replace(request, received_at=self._clock.now()))


class LooksAtTheSpan(CloudTasksDriver):
    """Counts the lease's span from when it is decoded."""

    def decode(self, request: PushRequest) -> Delivery:
        return super().decode(replace(request, received=self._clock.elapsed()))


class ForgetsTimeLimits(CloudTasksDriver):
    """Has every message waited for equally long."""

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        return super().send([replace(item, time_limit=None) for item in outgoing])


class ForgetsNames(CloudTasksDriver):
    """Stores copies as often as they are sent."""

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        return super().send([replace(item, native_id=None) for item in outgoing])


class ForgetsFailures(CloudTasksDriver):
    """Keeps only the body."""

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        return super().send([replace(item, failure=None) for item in outgoing])


class SwallowsErrors(CloudTasksDriver):
    """Says that all is stored."""

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        super().send(outgoing)
        return [SendResult(duplicate=False)] * len(outgoing)


CAUGHT = [
    (AcksFail, "test_an_acked_message_is_gone"),
    (ReleasesDelete, "test_a_released_message_comes_again"),
    (ReleasesDelete, "test_a_retry_whose_copy_fails_loses_nothing"),
    (ReleasesElsewhere, "test_an_answer_says_whether_it_is_done"),
    (CountsPushes, "test_a_lease_that_ends_hands_the_message_over_again"),
    (TakesAnything, "test_what_is_no_push_is_refused"),
    (PromisesMore, "test_a_push_can_be_answered_until_its_lease_ends"),
    (LooksAtTheClock, "test_a_lease_is_counted_from_the_request"),
    (LooksAtTheSpan, "test_a_lease_is_counted_from_the_request"),
    (ForgetsTimeLimits, "test_a_time_limit_is_waited_for"),
    (ForgetsNames, "test_a_copy_of_one_generation_is_stored_once"),
    (ForgetsNames, "test_a_taken_dead_letter_is_exclusive"),
    (ForgetsFailures, "test_a_dead_letter_says_why"),
    (SwallowsErrors, "test_a_missing_queue_is_reported_or_made"),
]


SPOILT = [
    "test_what_is_not_named_as_stored_is_not_accepted",
    "test_a_copy_that_is_not_named_as_stored_replaces_nothing",
]


def show(emulated: Emulated, kind: type[CloudTasksDriver], behaviour: str, *how: str) -> None:
    bench = Bench(CloudTasksHarness(emulated, make=kind))
    try:
        getattr(PushConformance(), behaviour)(bench, *how)
    finally:
        bench.close()


@pytest.mark.parametrize(
    ("kind", "behaviour"), CAUGHT, ids=[f"{kind.__name__}-{name.removeprefix('test_')}" for kind, name in CAUGHT]
)
def test_a_broken_driver_is_caught(cloud_tasks: Emulated, kind: type[CloudTasksDriver], behaviour: str) -> None:
    """The behaviour holds for the driver and fails for the one that breaks it."""
    show(cloud_tasks, CloudTasksDriver, behaviour)
    with pytest.raises((AssertionError, UnsupportedError, pytest.fail.Exception)):
        show(cloud_tasks, kind, behaviour)


@pytest.mark.parametrize("how", SPOILS)
@pytest.mark.parametrize("behaviour", SPOILT)
def test_a_driver_that_believes_a_spoilt_answer_is_caught(cloud_tasks: Emulated, behaviour: str, how: str) -> None:
    """However its answers are spoilt, and whether it sends for a producer or copies for a worker."""
    with pytest.raises(AssertionError):
        show(cloud_tasks, SwallowsErrors, behaviour, how)
