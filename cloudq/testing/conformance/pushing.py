"""Behaviours of `PushDriver.decode` and `encode`: what is no push, how long a push waits, what an answer means."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from cloudq.core.delivery import Delivery
from cloudq.core.driver import Ack, Final, PushDriver, Release
from cloudq.core.outcome import Retried
from cloudq.core.push import PushRequest
from cloudq.errors import PushRefused, UnsupportedError
from cloudq.testing.conformance.bench import Bench
from cloudq.testing.conformance.harness import ZERO
from cloudq.testing.conformance.push import Polled, PushHarness

_AGAIN = Retried(delay=ZERO, reason="again")


class Pushing:
    """Being pushed to."""

    def test_what_is_no_push_is_refused(self, bench: Bench) -> None:
        """A request that lacks one of the headers that the backend always sets is refused, with any body."""
        bench.send()
        request = _request(bench.one())
        driver, harness = _pushing(bench)
        assert harness.always_sent
        for name in harness.always_sent:
            without = {key: value for key, value in request.headers.items() if key != name}
            for headers in (without, {**without, name: ""}):
                with pytest.raises(PushRefused):
                    driver.decode(replace(request, headers=headers))
        with pytest.raises(PushRefused):
            driver.decode(replace(request, headers={}, body=b"{}"))

    def test_decoding_calls_nobody(self, bench: Bench) -> None:
        """A request must decode to the same delivery each time, without a call: even by a driver that is closed."""
        bench.send()
        request = _request(bench.one())
        driver, harness = _pushing(bench)
        other = harness.second_push_client()
        other.close()
        first = driver.decode(request)
        assert (first.lease.queue, first.deliveries) == (bench.queue, 1)
        assert [driver.decode(request), other.decode(request)] == [first, first]

    def test_a_lease_is_counted_from_the_request(self, bench: Bench) -> None:
        """The lease must end when the backend stops waiting for the answer, counted from the request's arrival."""
        bench.send()
        request = _request(bench.one())
        driver, _ = _pushing(bench)
        lease = driver.decode(request).lease
        later_request = replace(
            request, received_at=request.received_at + bench.unit, received=request.received + bench.unit
        )
        later = driver.decode(later_request).lease
        assert later.expires_at - lease.expires_at == bench.unit
        assert lease.ends is not None
        assert later.ends == lease.ends + bench.unit
        assert lease.ends - request.received == lease.expires_at - request.received_at
        assert lease.hard_end == lease.ends
        assert request.received_at < lease.expires_at == lease.hard_limit
        assert bench.capabilities.max_lease is None or lease.expires_at - bench.now() <= bench.capabilities.max_lease

    def test_a_push_can_be_answered_until_its_lease_ends(self, bench: Bench) -> None:
        """Until just before the lease's end the backend waits for the answer, and takes it: the message is gone."""
        for limit in (None, timedelta(minutes=20)):
            bench.send(replace(bench.message(), time_limit=limit))
            delivery = bench.one(lease=bench.capabilities.max_lease or timedelta(minutes=30))
            bench.advance_to(delivery.lease.ends - bench.grain)
            bench.ack(delivery)
            bench.advance(2 * bench.grain)
            bench.nothing()

    def test_an_answer_says_whether_it_is_done(self, bench: Bench) -> None:
        """An ack must be a success to HTTP. A release must be neither a success nor a redirection."""
        bench.send()
        delivery = bench.one()
        driver, _ = _pushing(bench)
        lease = driver.decode(_request(delivery)).lease
        assert 200 <= driver.encode(Final(lease=lease, step=Ack())).status < 300
        assert 400 <= driver.encode(Final(lease=lease, step=Release())).status < 600

    def test_a_time_limit_is_waited_for(self, bench: Bench) -> None:
        """The backend waits at least as long as the task may run, for a retry and a redriven message too."""
        longest = bench.capabilities.max_lease or timedelta(minutes=30)
        for limit in (timedelta(seconds=1), longest / 2, longest):
            bench.send(replace(bench.message(), time_limit=limit))
            delivery = bench.one(lease=longest)
            assert _waits(bench, delivery) >= limit
            bench.carry_out(delivery, _AGAIN)
            delivery = bench.one(lease=longest)
            assert _waits(bench, delivery) >= limit
            bench.kill(delivery)
            assert bench.redrive() == 1
            delivery = bench.one(lease=longest)
            assert _waits(bench, delivery) >= limit
            bench.ack(delivery)

    def test_a_longer_time_limit_is_refused(self, bench: Bench) -> None:
        """A task that may run longer than the backend waits is refused before it is stored."""
        longest = bench.capabilities.max_lease
        assert longest is not None
        with pytest.raises(UnsupportedError):
            bench.send(replace(bench.message(), time_limit=longest + timedelta(seconds=1)))
        bench.nothing()

    def test_the_end_of_a_traceback_may_be_left_out_never_the_reason(self, bench: Bench) -> None:
        """However large a failure is, its retry is pushed, and says why and since when it fails."""
        bench.send()
        failure = replace(bench.failure("no such order"), traceback="\N{SNOWMAN}" * 4_000)
        bench.carry_out(bench.one(), replace(_AGAIN, failure=failure))
        kept = bench.one().failure
        assert kept is not None
        assert (kept.reason, kept.error_type, kept.first_at) == (failure.reason, failure.error_type, failure.first_at)


def _request(delivery: Delivery) -> PushRequest:
    request = delivery.raw
    assert isinstance(request, PushRequest), "Delivery.raw is the request that was decoded"
    return request


def _pushing(bench: Bench) -> tuple[PushDriver, PushHarness]:
    assert isinstance(bench.driver, Polled)
    assert isinstance(bench.harness, PushHarness)
    return bench.driver.pushing, bench.harness


def _waits(bench: Bench, delivery: Delivery) -> timedelta:
    request = _request(delivery)
    return _pushing(bench)[0].decode(request).lease.expires_at - request.received_at
