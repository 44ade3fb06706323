"""Every fifth answer is cut somewhere, emptied or of another kind: nothing is accepted and lost, and order is kept."""

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
from cloudq.tasks.task import Call
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.chaos.http_proxy import HttpProxy
from tests.chaos.raw_answers import BrokenAnswers
from tests.chaos.scale import SEED, sized
from tests.integration.sqs.conftest import REGION, Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(120, 1800), func_only=True)]

TASKS = sized(160, 1_600)
KEYS, PER_KEY = sized((8, 5), (40, 10))
ORDERED = "orders.fifo"
LEASE = timedelta(seconds=sized(4, 20))
PATIENCE = sized(80, 1_500)
WAIT = timedelta(seconds=1)


def test_nothing_is_lost_though_every_fifth_answer_is_broken(
    proxy: HttpProxy, place: Place, queue: str, wire: WireName, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sends, receives, deletions, renewals: what an answer doesn't say wasn't done, or is done again."""
    driver = SQSDriver(REGION, prefix=place.prefix, endpoint_url=proxy.url, wire=wire)
    driver.make_queue(ORDERED)
    broken = proxy.policy = BrokenAnswers(SEED)
    app = App()
    lock = threading.Lock()
    ran: Counter[int] = Counter()
    ordered: dict[str, list[int]] = {f"key-{number}": [] for number in range(KEYS)}

    @app.task("effect")
    def effect(n: int) -> None:
        with lock:
            ran[n] += 1

    @app.task("step", queue=ORDERED)
    def step(key: str, n: int) -> None:
        with lock:
            if n not in ordered[key]:
                ordered[key].append(n)  # a repeat is allowed; what comes first has to be in order

    def send_many() -> int:
        """All of them, each until it is accepted. Returns how many were sent again."""
        calls: list[Call] = [effect.call(n) for n in range(TASKS)]
        again = 0
        while calls:
            try:
                app.send_many(calls)
            except SendManyError as error:
                calls = error.failed
                again += len(calls)
            else:
                calls = []
        return again

    def send_in_order(key: str) -> None:
        for n in range(PER_KEY):
            while True:
                try:
                    step.options(ordering_key=key).send(key, n)
                except CloudqError:
                    continue
                break

    with app.using(driver):
        worker = Worker(app, WorkerSettings(lease=LEASE, wait=WAIT, settle_timeout=LEASE, concurrency=16))
        codes: list[int] = []
        thread = threading.Thread(target=lambda: codes.append(worker.run()))
        began = time.monotonic()
        thread.start()
        try:
            with ThreadPoolExecutor(KEYS + 1) as threads:
                many = threads.submit(send_many)
                list(threads.map(send_in_order, ordered))
            queues = (queue, ORDERED)
            while any(place.counts(name) != (0, 0) for name in queues) and time.monotonic() - began < PATIENCE:
                assert thread.is_alive(), "the worker ended by itself"
                time.sleep(0.1)  # what a broken answer hid comes back when its lease is over
            took = time.monotonic() - began
        finally:
            broken.rate = 0.0
            worker.stop()
            thread.join()
            driver.close()
    with capsys.disabled():
        print(
            f"\n[broken answers] wire {wire}, seed {SEED}: {len(ran):,} of {TASKS:,} effects, and "
            f"{sum(map(len, ordered.values()))} of {KEYS * PER_KEY} in order, after "
            f"{took:.1f} s; {broken.made.total()} of {broken.calls} answers broken, "
            f"{sum(ran.values()) - len(ran)} effects repeated, {many.result()} sent again; {dict(broken.made)}"
        )
    assert set(range(TASKS)) == set(ran)
    assert {key: list(range(PER_KEY)) for key in ordered} == ordered
    assert {(0, 0)} == {place.counts(name) for name in (queue, ORDERED, f"{queue}-dlq", "orders-dlq.fifo")}
    assert [0] == codes
