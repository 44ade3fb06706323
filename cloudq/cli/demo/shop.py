"""The tasks of `cloudq demo` on a hosted queue: a shop that charges cards, and keeps its customers' histories."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict

import cloudq

PLAIN = "demo"
ORDERED = "demo.fifo"

app = cloudq.App(default_queue=PLAIN)


class Ledger:
    """What the tasks did. A message may be delivered twice, so each entry is kept with how often it came."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forgets everything; the expired card is expired again."""
        with self._lock:
            self.charged: Counter[int] = Counter()
            self.histories: dict[str, list[int]] = defaultdict(list)
            self.renewed = False

    def charge(self, order: int) -> None:
        """Notes a charge."""
        with self._lock:
            self.charged[order] += 1

    def add(self, customer: str, number: int) -> None:
        """Notes an entry of a customer's history."""
        with self._lock:
            self.histories[customer].append(number)

    @property
    def repeats(self) -> int:
        """How many runs were not the first."""
        entries = [len(history) - len(set(history)) for history in self.histories.values()]
        return self.charged.total() - len(self.charged) + sum(entries)


ledger = Ledger()


@app.task("demo.charge")
def charge(order: int, expired: bool = False) -> None:
    """Charges the card of an order. One that has expired is no better at the next attempt."""
    if expired and not ledger.renewed:
        raise cloudq.DeadLetter(f"the card of order {order} has expired")
    ledger.charge(order)


@app.task("demo.history", queue=ORDERED)
def history(customer: str, number: int) -> None:
    """Adds to a customer's history. Its entries have an order."""
    ledger.add(customer, number)
