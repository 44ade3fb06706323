"""Azure Service Bus: a fifth of what the service answers is cut, left out, replaced or withheld. Nothing is lost."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest

from cloudq.errors import CloudqError
from tests.chaos.scale import SEED, sized
from tests.integration.processes import unexplained, wait_until
from tests.integration.service_bus import conftest as service_bus
from tests.integration.service_bus.amqp_proxy import AmqpProxy, Kind, Spoil, is_answer
from tests.integration.service_bus.place import ORDERED, PLAIN, VARIABLE, Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(240, 1800), func_only=True)]
place = service_bus.place

RATE = 0.2
TASKS = sized(60, 2_000)
KEYS = sized(6, 50)
# What is cut off on its way to a worker comes again once its lock is over.
LOCK = timedelta(seconds=5)
PATIENCE = sized(200, 1500)
WORKERS = 2


class Fifth:
    """A policy that spoils a fifth of the answers, each by chance.

    Attributes:
        spoilt: How many of each kind.
    """

    def __init__(self) -> None:
        self._chance = random.Random(SEED)
        self._lock = threading.Lock()
        self.answers = 0
        self.spoilt: Counter[Kind] = Counter()

    def __call__(self, frame: bytes) -> None:
        if not is_answer(frame):
            return
        with self._lock:
            self.answers += 1
            if self._chance.random() >= RATE:
                return
            # A connection on which nothing more comes holds its caller up for as long as a call may take.
            kind = self._chance.choices([*Kind], weights=[6, 3, 3, 1])[0]
            self.spoilt[kind] += 1
            at = self._chance.randrange(len(frame)) if kind is Kind.CUT else 0
        raise Spoil(kind, at)


@pytest.fixture
def proxy(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[AmqpProxy]:
    """All clients go through it, with little patience for an answer."""
    with AmqpProxy(place.emulator.port) as made:
        monkeypatch.setenv(VARIABLE, made.connection_string)
        url = f"{place.url}&timeout=6&lock={LOCK.total_seconds():.0f}"
        place.env |= {VARIABLE: made.connection_string, "CLOUDQ_URL": url}
        place.app.configure(url)
        yield made


@pytest.mark.parametrize("queue", [PLAIN, ORDERED])
def test_a_fifth_of_the_answers(place: Place, proxy: AmqpProxy, queue: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every accepted task runs, of each key in order, and what is spoilt settles nothing."""
    place.make(queue, LOCK)
    proxy.policy = policy = Fifth()
    for number in range(WORKERS):
        place.start("--queue", queue, "--log-level", "error", log=f"worker-{number}.log")
    began = time.monotonic()
    accepted, refused = send(place, queue)
    wait_until(lambda: place.is_empty(queue), within=PATIENCE, what="all is settled")
    took = time.monotonic() - began
    with capsys.disabled():
        spoilt = sum(policy.spoilt.values())
        print(
            f"\n[service bus: {queue}] seed {SEED}: {spoilt} of {policy.answers} answers spoilt; {len(accepted)} tasks "
            f"accepted, {refused} perhaps, in {took:.0f} s"
        )
    assert 0 == place.counts(queue).dead_letter
    if queue == PLAIN:
        assert accepted <= set(place.ran())
    else:
        check_order(place, accepted)
    for number in range(WORKERS):
        assert [] == unexplained(place.log(f"worker-{number}.log"))


def send(place: Place, queue: str) -> tuple[set, int]:
    """Sends all tasks; those that were accepted, and how many weren't, or not for sure."""
    accepted, refused = set(), 0
    for number in range(TASKS):
        key, n = f"key-{number % KEYS}", number // KEYS
        try:
            if queue == PLAIN:
                place.app.tasks["effect"].send(n=number)
                accepted.add(number)
            else:
                place.app.tasks["step"].options(ordering_key=key).send(key=key, n=n)
                accepted.add((key, n))
        except CloudqError:
            refused += 1
    return accepted, refused


def check_order(place: Place, accepted: set) -> None:
    """Of each key, each task begins once those before it are through; what was cut off may be repeated."""
    through: dict[str, list[int]] = {}
    for key, n, is_done in place.steps():
        done = through.setdefault(key, [])
        if is_done:
            assert not done or n >= done[-1], f"{key}: {n} is done after {done[-1]}"
            done.append(n)
        else:
            earlier = {other for of, other in accepted if of == key and other < n}
            assert earlier <= set(done), f"{key}: {n} is begun before {earlier - set(done)}"
    assert accepted <= {(key, n) for key, done in through.items() for n in done}
