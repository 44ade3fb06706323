"""Two programs, each of which knows one half of the tasks, on the queues of one backend."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta

import pytest

from cloudq import App, Context
from cloudq.core import unknown
from tests.integration.processes import wait_until
from tests.unit.worker.fakes import running

SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=30)
EACH = 8


class TwoPrograms:
    """The shop and the bank, and somebody who sends to both.

    Args:
        url: The backend.
        monkeypatch: What an unknown task's message waits is made short with it.
    """

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(unknown, "SHORTEST_AWAY", SECOND)
        # Who takes a message is chance, and its way back would grow each time that the wrong one did.
        monkeypatch.setattr(unknown, "LONGEST_AWAY", 2 * SECOND)
        # The emulator hands over to its receivers in turn: two messages must not come back in step.
        monkeypatch.setattr(unknown, "_LEAST_OF_THE_LONGEST", 0.1)
        self.url = url
        self.sender = App(url)
        self._lock = threading.Lock()
        self.attempts: Counter[tuple[str, int, int]] = Counter()
        self.steps: list[str] = []
        self.shop, self.bank = self._program("shop"), self._program("bank")

    def close(self) -> None:
        for app in (self.sender, self.shop, self.bank):
            app.close()

    def _program(self, name: str) -> App:
        app = App(self.url)

        @app.task(f"{name}.work")
        def work(context: Context, n: int) -> None:
            with self._lock:
                self.attempts[name, n, context.attempt] += 1

        @app.task(f"{name}.step")
        def step(what: str) -> None:
            with self._lock:
                self.steps.append(what)

        return app

    def check_that_each_runs_its_own(self, queue: str) -> None:
        """All of them once, in their first attempt, whoever was handed them before."""
        for n in range(EACH):
            for name in ("shop", "bank"):
                self.sender.send(f"{name}.work", {"n": n}, queue=queue)
        with running(self.shop, queues={queue: 1}, lease=LEASE), running(self.bank, queues={queue: 1}, lease=LEASE):
            wait_until(lambda: sum(self.attempts.values()) >= 2 * EACH, within=60, what="all have run")
        assert {(name, n, 1): 1 for name in ("shop", "bank") for n in range(EACH)} == self.attempts

    def check_that_other_keys_go_on(self, queue: str) -> None:
        """The head that is unknown holds up its own key alone; whoever knows it takes it, and its key goes on."""
        for task, key in [("bank", "a"), ("shop", "a"), ("shop", "b"), ("shop", "c"), ("shop", "d")]:
            self.sender.send(f"{task}.step", {"what": f"{task} {key}"}, queue=queue, ordering_key=key)
        with running(self.shop, queues={queue: 1}, lease=LEASE):
            wait_until(lambda: len(self.steps) >= 3, within=60, what="the other keys have gone on")
            assert ["shop b", "shop c", "shop d"] == sorted(self.steps)
            with running(self.bank, queues={queue: 1}, lease=LEASE):
                wait_until(lambda: len(self.steps) == 5, within=60, what="the key goes on")
        assert ["bank a", "shop a"] == self.steps[3:]

    def check_that_what_nobody_knows_dies(self, queue: str) -> None:
        """Once the patience is over, with its name and the nearest."""
        self.shop.configure(unknown_task_patience=3 * SECOND)
        self.sender.send("shop.wrok", {}, queue=queue)
        with running(self.shop, queues={queue: 1}, lease=LEASE) as worker:
            wait_until(lambda: worker.worker.snapshot().dead_lettered == 1, within=60, what="it is dead")
            assert worker.worker.snapshot().snoozed
            wait_until(lambda: self.sender.queue(queue).stats().dead == 1, within=60, what="it is among the dead")
        (dead,) = self.sender.queue(queue).dead_letters.peek()
        assert dead.failure is not None
        assert dead.failure.reason.startswith("unknown task 'shop.wrok': did you mean 'shop.work'? (for 0:00:")
