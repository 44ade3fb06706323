"""Receivers without a session, and how a queue's messages are dealt out to them: in turns."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from cloudq.emulators.service_bus.broker.api import BrokerError, ReceiveMode
from cloudq.emulators.service_bus.broker.ends import ReceiverSink

if TYPE_CHECKING:
    from cloudq.emulators.service_bus.broker.queue import Queue


class QueueReceiver:
    """A `Receiver` of a queue."""

    __slots__ = ("_queue", "closed", "credit", "in_turn", "mode", "sink")

    def __init__(self, queue: Queue, mode: ReceiveMode, sink: ReceiverSink) -> None:
        self._queue = queue
        self.mode = mode
        self.sink = sink
        self.credit = 0
        self.closed = False
        self.in_turn = False

    def set_credit(self, credit: int) -> None:
        """See `ends.Receiver.set_credit`."""
        with self._queue.world:
            self.credit = 0 if self.closed else credit
            self._wants_more()

    def close(self) -> None:
        """See `ends.Receiver.close`."""
        with self._queue.world:
            self._close()

    def end(self, error: BrokerError) -> None:
        """Closes it from the broker's side."""
        if not self.closed:
            self._close()
            self.sink.ended(error)

    def _wants_more(self) -> None:
        if self.credit > 0:
            self._queue.dealer.join(self)
            self._queue.world.available(self._queue.dealer)

    def _close(self) -> None:
        self.closed = True
        self.credit = 0
        self._queue.receivers.discard(self)
        self._queue.dealer.leave(self)


class Dealer:
    """Deals a queue's line out to its receivers, one message each in turn."""

    __slots__ = ("_queue", "_turns")

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._turns: deque[QueueReceiver] = deque()

    def join(self, receiver: QueueReceiver) -> None:
        """Gives a receiver its turn, if it has none yet."""
        if not receiver.in_turn:
            receiver.in_turn = True
            self._turns.append(receiver)

    def leave(self, receiver: QueueReceiver) -> None:
        """Takes a receiver's turn away."""
        if receiver.in_turn:
            receiver.in_turn = False
            self._turns.remove(receiver)

    def distribute(self) -> None:
        """Hands out messages until there are none or nobody wants one."""
        line, turns = self._queue.line, self._turns
        while line and turns:
            receiver = turns.popleft()
            if receiver.credit <= 0:
                receiver.in_turn = False
                continue
            receiver.credit -= 1
            # Before the message is delivered: the sink may change its credit.
            turns.append(receiver)
            self._queue.deliver(line.pop(), receiver)
