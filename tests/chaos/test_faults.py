"""Every fifth call fails, in every way there is: all that was accepted runs, and the worker stays."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from cloudq import App
from cloudq.aws_wire.wires import WireName
from cloudq.drivers.sqs import SQSDriver
from cloudq.errors import CloudqError, SendManyError
from cloudq.tasks.task import Call, Task
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.chaos.fault_proxy import Faults
from tests.chaos.http_proxy import HttpProxy
from tests.chaos.scale import FULL, SEED, sized
from tests.integration.sqs.conftest import REGION, Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(120, 1200), func_only=True)]

TASKS = sized(240, 2_000)
# A call takes a third of it, a receive as much beyond its wait; a stall is longer than both. In full it is the default.
TIMEOUT = timedelta(seconds=sized(4.5, 15))
WAIT = timedelta(seconds=1)
STALL = TIMEOUT / 3 + WAIT + timedelta(seconds=0.5)
LEASE = timedelta(seconds=sized(4, 60))
PATIENCE = sized(80, 900)


def send_all(app: App, task: Task[[int], None]) -> int:
    """Sends each number until it is accepted, half of them one by one from threads. How many had to be sent again."""
    again: list[int] = []

    def one(number: int) -> None:
        while True:
            try:
                task.send(number)
            except CloudqError:
                again.append(number)
            else:
                return

    def many(numbers: range) -> None:
        calls: list[Call] = [task.call(number) for number in numbers]
        while calls:
            try:
                app.send_many(calls)
            except SendManyError as error:
                again.extend(call.payload["n"] for call in error.failed)  # type: ignore[misc]  # an int
                calls = error.failed
            else:
                return

    with ThreadPoolExecutor(16) as threads:
        batches = threads.submit(many, range(TASKS // 2))
        list(threads.map(one, range(TASKS // 2, TASKS)))
        batches.result()
    return len(again)


def test_all_effects_are_there_though_every_fifth_call_fails(
    proxy: HttpProxy,
    place: Place,
    queue: str,
    wire: WireName,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Resets before and after the call, errors, throttling, stalls, half-failed batches, repeated deliveries."""
    faults = Faults(SEED, stall=STALL)
    driver = SQSDriver(REGION, prefix=place.prefix, endpoint_url=proxy.url, timeout=TIMEOUT, wire=wire)
    app = App()
    ran: Counter[int] = Counter()
    lock = threading.Lock()

    @app.task("effect")
    def effect(n: int) -> None:
        with lock:
            ran[n] += 1

    with app.using(driver):
        worker = Worker(app, WorkerSettings(lease=LEASE, wait=WAIT, settle_timeout=LEASE))
        codes: list[int] = []
        thread = threading.Thread(target=lambda: codes.append(worker.run()))
        proxy.policy = faults
        began = time.monotonic()
        thread.start()
        try:
            again = send_all(app, effect)
            while (len(ran) < TASKS or place.counts(queue) != (0, 0)) and time.monotonic() - began < PATIENCE:
                assert thread.is_alive(), "the worker ended by itself"
                time.sleep(0.1)  # what is hidden under a lease that nobody holds comes back by itself
            took = time.monotonic() - began
        finally:
            faults.rate = 0.0
            worker.stop()
            thread.join()
            driver.close()
    with capsys.disabled():
        repeats = sum(ran.values()) - len(ran)
        print(
            f"\n[faults] wire {wire}, seed {SEED}: {len(ran):,} of {TASKS:,} effects after {took:.1f} s and "
            f"{faults.made.total()} faults in {faults.calls.total()} calls; {repeats} repeated, {again} sent again; "
            f"{dict(faults.made)}"
        )
    assert set(range(TASKS)) == set(ran)
    assert (0, 0) == place.counts(queue)
    assert (0, 0) == place.counts(f"{queue}-dlq")
    assert [0] == codes
    if FULL:
        # Five of a receive, a sixth of a batch, a seventh of a deletion.
        assert 5 + 6 + 7 <= len(faults.made)
