"""A Service Bus of one's own: the emulator in this process, a module of tasks, and worker processes at them."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from cloudq import App
from cloudq.emulators.service_bus.broker.settings import Counts, QueueSettings
from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from tests.integration.processes import environment, start_worker

VARIABLE = "CLOUDQ_SERVICEBUS_CONNECTION_STRING"
PLAIN, ORDERED = "default", "orders.fifo"
# Of ids, so that what is sent twice is stored once.
DEDUP_WINDOW = timedelta(minutes=10)
SHOP = Path(__file__).with_name("shop.py")


class Effect(NamedTuple):
    """A task that has run.

    Attributes:
        n: Its number.
        deliveries: How often the service had handed it over by then, this time included.
    """

    n: int
    deliveries: int


class Place:
    """The emulator, a folder with tasks, and what runs there."""

    def __init__(self, folder: Path, emulator: ServiceBusEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.emulator = emulator
        shutil.copy(SHOP, folder)
        seconds = int(DEDUP_WINDOW.total_seconds())
        self.url = f"servicebus://?admin_endpoint={emulator.admin_url}&dedup_window={seconds}"
        self.env = {VARIABLE: emulator.connection_string, "CLOUDQ_URL": self.url, "CLOUDQ_APP": "shop"}
        monkeypatch.setenv(VARIABLE, emulator.connection_string)
        self.app: App = _shop().app
        self.app.configure(self.url)
        self.processes: list[subprocess.Popen[bytes]] = []

    def make(self, name: str, lock: timedelta, *, max_deliveries: int = 1000) -> None:
        """A queue with that lock; with sessions where its name says so."""
        settings = QueueSettings(
            lock_duration=lock,
            max_delivery_count=max_deliveries,
            requires_session=name.endswith(".fifo"),
            requires_duplicate_detection=True,
            duplicate_detection_window=DEDUP_WINDOW,
        )
        self.emulator.create_queue(name, settings)

    def start(self, *arguments: str, log: str = "worker.log") -> subprocess.Popen[bytes]:
        """Starts a worker. Its default queue is `default`."""
        worker = start_worker(self.folder, *arguments, log=log, **self.env)
        self.processes.append(worker)
        return worker

    def cli(self, *arguments: str, code: int = 0) -> str:
        """What `cloudq` prints; it has to end with that code."""
        ended = subprocess.run(
            [sys.executable, "-m", "cloudq", *arguments],
            cwd=self.folder,
            env=environment(**self.env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert code == ended.returncode, ended.stdout + ended.stderr
        return ended.stdout

    def send(self, name: str, numbers: Iterable[int], **payload: object) -> None:
        """One task for each number."""
        self.app.send_many(self.app.tasks[name].call(n=n, **payload) for n in numbers)

    def counts(self, queue: str = PLAIN) -> Counts:
        """What the broker has of a queue; what is locked counts among what is active."""
        entities = self.emulator.broker.entities
        return self.emulator.call(lambda: entities.counts(entities.queue(queue).queue))

    def locked(self, queue: str = PLAIN) -> int:
        """How many of its messages are locked."""
        entities = self.emulator.broker.entities
        return self.emulator.call(lambda: len(entities.queue(queue).queue._locked))

    def is_empty(self, queue: str = PLAIN) -> bool:
        """Whether nothing waits, is locked or is scheduled."""
        counts = self.counts(queue)
        return not counts.active and not counts.scheduled

    def lines(self, name: str) -> list[list[str]]:
        """What tasks noted in a file, by words."""
        file = self.folder / name
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def effects(self) -> list[Effect]:
        """What has run, in the order in which it did."""
        return [Effect(int(n), int(deliveries)) for n, deliveries in self.lines("effects.txt")]

    def ran(self) -> Counter[int]:
        """How often each number has run."""
        return Counter(effect.n for effect in self.effects())

    def repeated(self) -> dict[int, list[int]]:
        """Of each that ran more than once, which delivery each run was."""
        runs: dict[int, list[int]] = defaultdict(list)
        for effect in self.effects():
            runs[effect.n].append(effect.deliveries)
        return {n: deliveries for n, deliveries in runs.items() if len(deliveries) > 1}

    def steps(self) -> list[tuple[str, int, bool]]:
        """The begin and the end of each step: its key, its number, and whether it is the end."""
        return [(key, int(n), what == "done") for key, n, what in self.lines("steps.txt")]

    def log(self, name: str = "worker.log") -> str:
        """What a worker said."""
        return (self.folder / name).read_text()

    def close(self) -> None:
        """Ends everything that was started."""
        self.app.close()
        for process in self.processes:
            process.kill()
            process.wait()


def _shop() -> ModuleType:
    """The module of tasks, with an app that no other test has."""
    spec = importlib.util.spec_from_file_location("shop", SHOP)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
