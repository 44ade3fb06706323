"""`cloudq worker` on Cloud Tasks: a process of its own, pushed to by the emulator with tokens, stopped and killed."""

from __future__ import annotations

import http.client
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from google.cloud.tasks_v2 import Queue, RetryConfig
from google.protobuf.duration_pb2 import Duration

from cloudq import App
from cloudq.emulators.cloud_tasks import VARIABLE, CloudTasksEmulator, Settings
from tests.integration.processes import start_worker, unexplained, wait_until

pytestmark = pytest.mark.slow

ACCOUNT = "pusher@my-project.iam.gserviceaccount.com"
LOCATION = "projects/my-project/locations/europe-west1"
TASKS = """
import asyncio, time
from datetime import timedelta
from pathlib import Path
import cloudq

app = cloudq.App()

def said(word: str) -> None:
    with Path("said.txt").open("a") as file:
        file.write(word + "\\n")

@app.task("plain")
def plain(context: cloudq.Context, n: int) -> None:
    said(f"plain {n} {context.attempt}")

@app.task("asynchronous")
async def asynchronous(context: cloudq.Context, n: int) -> None:
    await asyncio.sleep(0)
    said(f"asynchronous {n}")

@app.task("fails", retry=cloudq.RetryPolicy())
def fails(context: cloudq.Context) -> None:
    said(f"fails {context.attempt}")
    if context.attempt == 1:
        raise cloudq.Retry(reason="once more", delay=timedelta(milliseconds=100))
    raise cloudq.DeadLetter("no good")

@app.task("slow")
def slow(name: str) -> None:
    said(f"slow {name} starts")
    while not Path(name).exists():
        time.sleep(0.01)
    said(f"slow {name} ends")
"""


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
        return port


class Shop:
    """The emulator, a folder with tasks, and a worker that the emulator pushes to."""

    def __init__(self, folder: Path, emulator: CloudTasksEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.emulator = emulator
        self.port = free_port()
        (folder / "shop.py").write_text(TASKS)
        target = f"http://127.0.0.1:{self.port}/"
        self.url = f"cloudtasks://my-project/europe-west1?target={target}&service_account={ACCOUNT}"
        self.env = {
            "CLOUDQ_URL": self.url,
            "CLOUDQ_APP": "shop",
            "CLOUDQ_OIDC_CERTS_URL": emulator.certificates_url,
            VARIABLE: emulator.address,
        }
        monkeypatch.setenv(VARIABLE, emulator.address)
        backoff = RetryConfig(
            max_attempts=-1, min_backoff=Duration(nanos=50_000_000), max_backoff=Duration(nanos=200_000_000)
        )
        emulator.create_queue(Queue(name=f"{LOCATION}/queues/default", retry_config=backoff))
        emulator.create_queue(Queue(name=f"{LOCATION}/queues/default-dlq"))
        self.client = emulator.client()
        self.client.pause_queue(name=f"{LOCATION}/queues/default-dlq")
        self.app = App(self.url)
        self.processes: list = []

    def start(self, *arguments: str):
        worker = start_worker(self.folder, "--port", str(self.port), *arguments, **self.env)
        self.processes.append(worker)
        wait_until(lambda: self.status("GET", "/readyz") == 200, within=60, what="it is ready")
        return worker

    def status(self, method: str, path: str, headers: dict[str, str] | None = None) -> int | None:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
                connection.request(method, path, headers=headers or {})
                return connection.getresponse().status
        except OSError:
            return None

    @property
    def said(self) -> list[str]:
        file = self.folder / "said.txt"
        return file.read_text().splitlines() if file.exists() else []

    def wait_said(self, *words: str) -> None:
        wait_until(lambda: set(words) <= set(self.said), within=60, what=f"{words} of {self.said}")

    def log(self) -> str:
        return (self.folder / "worker.log").read_text()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with CloudTasksEmulator(settings=Settings(relaxed=True)) as emulator:
        made = Shop(tmp_path, emulator, monkeypatch)
        try:
            yield made
        finally:
            made.app.close()
            for process in made.processes:
                process.kill()
                process.wait()


def test_what_is_sent_is_pushed_and_run(shop):
    """Plain and async tasks run; a retry comes as a copy; a dead letter has its reason, and isn't run even if somebody
    pushes it; who has no token is refused; SIGTERM ends it with 0, and no token is in its log.
    """
    worker = shop.start()
    for n in range(3):
        shop.app.send("plain", {"n": n})
        shop.app.send("asynchronous", {"n": n})
    shop.app.send("fails")
    shop.wait_said(*(f"plain {n} 1" for n in range(3)), *(f"asynchronous {n}" for n in range(3)), "fails 1", "fails 2")
    dead = shop.app.queue("default").dead_letters
    wait_until(lambda: len(dead.peek()) == 1, within=60, what="it is a dead letter")
    (letter,) = dead.peek()
    assert letter.failure is not None
    assert ("no good", 2) == (letter.failure.reason, letter.failure.attempts)
    wait_until(lambda: shop.app.queue("default").stats().ready == 0, within=60, what="the queue is empty")
    assert {200} == {attempt.status for attempt in shop.emulator.attempts()}

    (task,) = shop.client.list_tasks(parent=f"{LOCATION}/queues/default-dlq")
    shop.client.run_task(name=task.name)
    wait_until(lambda: shop.emulator.attempts(task.name) != [], within=60, what="somebody pushed it")
    assert 503 == shop.emulator.attempts(task.name)[0].status
    assert 1 == len(dead.peek())
    assert 2 == sum(word.startswith("fails") for word in shop.said)

    assert 401 == shop.status("POST", "/")
    assert 401 == shop.status("POST", "/", {"Authorization": "Bearer a.b.c"})
    worker.send_signal(signal.SIGTERM)
    assert 0 == worker.wait(60)
    log = shop.log()
    assert f"pushers  {ACCOUNT}, for http://127.0.0.1:{shop.port}/" in log
    assert "dead_lettered: no good" in log
    assert "eyJ" not in log
    assert [] == unexplained(log)


def test_a_first_signal_lets_running_tasks_finish(shop):
    """What runs ends and is acked; what is pushed meanwhile is refused, and runs in the next worker."""
    worker = shop.start("--grace", "60")
    shop.app.send("slow", {"name": "first"})
    shop.wait_said("slow first starts")
    worker.send_signal(signal.SIGTERM)
    wait_until(lambda: shop.status("GET", "/readyz") == 503, within=60, what="it is stopping")
    shop.app.send("plain", {"n": 1})
    wait_until(lambda: any(one.status == 503 for one in shop.emulator.attempts()), within=60, what="it is refused")
    (shop.folder / "first").touch()
    assert 0 == worker.wait(60)
    assert ["slow first starts", "slow first ends"] == shop.said
    shop.start()
    shop.wait_said("plain 1 1")
    assert 1 == shop.said.count("slow first starts")


def test_a_second_signal_ends_it_now(shop):
    """The running task's push is answered so that it comes again; the next worker runs it."""
    worker = shop.start("--grace", "60")
    shop.app.send("slow", {"name": "first"})
    shop.wait_said("slow first starts")
    worker.send_signal(signal.SIGTERM)
    wait_until(lambda: shop.status("GET", "/readyz") == 503, within=60, what="it is stopping")
    worker.send_signal(signal.SIGINT)
    assert 0 == worker.wait(60)
    wait_until(lambda: shop.emulator.attempts() != [], within=60, what="its answer has come")
    assert 500 == shop.emulator.attempts()[0].status
    (shop.folder / "first").touch()
    shop.start()
    shop.wait_said("slow first ends")


def test_a_killed_worker_loses_nothing(shop):
    """What it was running, and what came while it was away, is pushed to the next one."""
    worker = shop.start()
    shop.app.send("slow", {"name": "first"})
    shop.wait_said("slow first starts")
    worker.kill()
    worker.wait()
    for n in range(5):
        shop.app.send("plain", {"n": n})
    (shop.folder / "first").touch()
    shop.start()
    shop.wait_said("slow first ends", *(f"plain {n} 1" for n in range(5)))
    stats = shop.app.queue("default").stats
    wait_until(lambda: (now := stats()).ready == now.in_flight == 0, within=60, what="the queue is empty")
    assert 2 == shop.said.count("slow first starts")


def test_a_task_that_is_deployed_after_its_message(shop: Shop) -> None:
    """It waits as a copy of later, and then runs in its first attempt."""
    worker = shop.start()
    shop.app.send("late", {"n": 7}, queue="default")
    log = shop.folder / "worker.log"
    wait_until(lambda: "holds messages of an unknown task 'late'" in log.read_text(), within=60, what="it was pushed")
    worker.send_signal(signal.SIGTERM)
    assert 0 == worker.wait(60)
    with (shop.folder / "shop.py").open("a") as tasks:
        tasks.write('\n\n@app.task("late")\ndef late(context: cloudq.Context, n: int) -> None:\n')
        tasks.write('    said(f"late {n} {context.attempt}")\n')
    shop.start()
    wait_until(lambda: "late 7 1" in shop.said, within=60, what="it has run")
