"""Behaviours: taking back messages that no client has received."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from cloudq.core.driver import Ack, Canceller, Cancels, PullDriver
from cloudq.core.message import Message
from cloudq.core.outcome import Retried
from cloudq.errors import OptionError, UnsupportedError
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.testing.conformance.bench import Bench


class Cancelling:
    """Either shown to work, or shown to be refused."""

    def test_what_waits_is_cancelled_and_never_handed_over(self, bench: Bench) -> None:
        """A cancelled message isn't handed over, now or when it is due; another is."""
        sent = cancellable(bench)
        if sent is None:
            return
        message, receipt, delay = sent
        other = bench.send(delay=delay or None)
        assert cancel(bench, receipt) is True
        if bench.affordable(delay):
            bench.advance(delay + bench.grain)
            assert [delivery.id for delivery in bench.receive(2)] == [other.id]
            assert message.id != other.id

    def test_what_is_ready_has_a_receipt_only_if_it_can_be_cancelled(self, bench: Bench) -> None:
        """A ready message must have a receipt only if it can be cancelled: else it promises what the backend can't."""
        result = bench.store(message := bench.message())
        if bench.capabilities.cancels is Cancels.WAITING:
            assert result.receipt is not None
            assert cancel(bench, result.receipt) is True
            bench.nothing()
        else:
            assert result.receipt is None
            assert bench.one().id == message.id

    def test_what_was_handed_over_is_not_cancelled(self, bench: Bench) -> None:
        """A message under way must not be cancelled: its lease holds, and it is settled as usual."""
        sent = cancellable(bench)
        if sent is None or not bench.affordable(sent[2]):
            return
        message, receipt, delay = sent
        bench.advance(delay + bench.grain)
        delivery = bench.one()
        assert delivery.id == message.id
        assert cancel(bench, receipt) is False
        assert bench.settle(delivery, Ack()) is None
        assert cancel(bench, receipt) is False

    def test_what_was_begun_is_not_cancelled_when_its_lease_is_over(self, bench: Bench) -> None:
        """A message that was begun must not be cancelled after its lease: its holder may still be working."""
        sent = cancellable(bench)
        if sent is None or not bench.affordable(sent[2] + bench.lease):
            return
        message, receipt, delay = sent
        bench.advance(delay + bench.grain)
        bench.advance_to(bench.one().lease.ends + bench.grain)
        assert cancel(bench, receipt) is False
        assert bench.one().id == message.id

    def test_a_second_cancelling_finds_nothing(self, bench: Bench) -> None:
        """Cancelling a message that is cancelled or done must return `False`."""
        sent = cancellable(bench)
        if sent is not None:
            assert [cancel(bench, sent[1]) for _ in range(3)] == [True, False, False]

    def test_a_receipt_is_of_one_message_only(self, bench: Bench) -> None:
        """After its message is gone, a receipt doesn't fit one that was sent later."""
        sent = cancellable(bench)
        if sent is None:
            return
        _, receipt, delay = sent
        assert cancel(bench, receipt) is True
        later = [bench.send(delay=delay or None).id for _ in range(3)]
        assert cancel(bench, receipt) is False
        if bench.affordable(delay):
            bench.advance(delay + bench.grain)
            assert sorted(delivery.id for delivery in bench.receive(3, sure=3)) == sorted(later)

    def test_a_retrys_copy_is_not_cancelled(self, bench: Bench) -> None:
        """A message that has failed once must not be cancelled: it is under way to its next attempt."""
        sent = cancellable(bench)
        if sent is None or not bench.affordable(sent[2] + 2 * bench.unit):
            return
        message, receipt, delay = sent
        bench.advance(delay + bench.grain)
        carried = bench.carry_out(bench.one(), Retried(delay=bench.unit, reason="again"))
        assert carried.error is None
        assert cancel(bench, receipt) is False
        bench.advance(bench.unit + bench.grain)
        assert bench.one().id == message.id

    def test_another_client_cancels(self, bench: Bench) -> None:
        """The receipt is the backend's, not the client's: it can be stored and used by another process."""
        sent = cancellable(bench)
        if sent is not None:
            assert cancel(bench, sent[1], bench.client()) is True
            assert cancel(bench, sent[1]) is False

    def test_a_cancelled_key_stays_taken(self, bench: Bench) -> None:
        """An idempotency key is remembered as if the message had run, where the backend tells."""
        sent = cancellable(bench, key="k-1")
        if sent is None:
            return
        _, receipt, delay = sent
        assert cancel(bench, receipt) is True
        again = bench.store(bench.message(key="k-1", delay=delay or None))
        assert again.error is None
        if again.duplicate is not None and bench.capabilities.deduplication is not None:
            assert (again.duplicate, again.receipt) == (True, None)

    def test_the_next_of_its_key_comes(self, bench: Bench) -> None:
        """On an ordered queue a cancelled message, at the head or in between, must not hold up the others."""
        if not bench.capabilities.ordering:
            with pytest.raises(UnsupportedError):
                bench.prepared(bench.message(ordering_key="k"))
            return
        if bench.capabilities.cancels is Cancels.NOTHING:
            _assert_refused(bench)
            return
        stored = [bench.store(message := bench.message(ordering_key="k")) for _ in range(4)]
        receipts = [result.receipt or "" for result in stored]
        assert [cancel(bench, receipts[place]) for place in (0, 2)] == [True, True]
        second = bench.one()
        assert cancel(bench, receipts[1]) is False
        bench.nothing()
        bench.ack(second)
        last = bench.one()
        assert last.id == message.id
        bench.ack(last)
        bench.nothing()

    def test_a_race_with_a_receive_has_one_winner(self, bench: Bench) -> None:
        """While clients receive, others cancel: each message is handed over or cancelled, never both, never neither."""
        if bench.capabilities.cancels is not Cancels.WAITING:
            return
        results = {(message := bench.message()).id: bench.store(message) for _ in range(40)}
        received: list[str] = []

        def receive(client: PullDriver) -> bool:
            while deliveries := bench.receive(3, driver=client, sure=0):
                received.extend(delivery.id for delivery in deliveries)
            return False

        receiving = [partial(receive, bench.client()) for _ in range(4)]
        cancelling = [partial(cancel, bench, results[id_].receipt or "") for id_ in reversed(results)]
        won = bench.together([*receiving, *cancelling])[len(receiving) :]
        cancelled = [id_ for id_, one in zip(reversed(results), won, strict=True) if one]
        receive(bench.driver)
        assert sorted([*received, *cancelled]) == sorted(results)

    def test_another_receipt_is_refused(self, bench: Bench) -> None:
        """A receipt that isn't this backend's must be an error, not be taken for one of a message that is gone."""
        if bench.capabilities.cancels is Cancels.NOTHING:
            _assert_refused(bench)
            return
        with pytest.raises(OptionError):
            cancel(bench, "no receipt")


def cancellable(bench: Bench, *, key: str | None = None) -> tuple[Message, str, timedelta] | None:
    """Sends a message that can be cancelled: it, its receipt and its delay. `None` where none can, as is asserted."""
    capabilities = bench.capabilities
    if capabilities.cancels is Cancels.NOTHING:
        _assert_refused(bench)
        return None
    waits = capabilities.cancels is Cancels.WAITING
    delay = timedelta(0) if waits else max(bench.unit, capabilities.cancel_notice + timedelta(seconds=5))
    message = bench.message(key=key, delay=delay or None)
    result = bench.store(message)
    assert result.error is None
    assert result.receipt is not None
    return message, result.receipt, delay


def _assert_refused(bench: Bench) -> None:
    result = bench.store(bench.message())
    assert (result.error, result.receipt) == (None, None)
    with pytest.raises(UnsupportedError):
        cancel(bench, "anything")
    assert len(bench.receive(1)) == 1


def cancel(bench: Bench, receipt: str, driver: PullDriver | None = None) -> bool:
    """As an app does."""
    driver = driver or bench.driver
    if bench.capabilities.cancels is not Cancels.NOTHING:
        assert isinstance(driver, Canceller)
    return CloudQueue(bench.queue, driver, clock=bench.clock).cancel(receipt)
