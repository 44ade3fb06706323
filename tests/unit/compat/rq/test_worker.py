"""`Worker(...).work()` in a script of one's own runs jobs here, one at a time."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from cloudq.compat.rq import Connection, Queue, SimpleWorker, Worker
from cloudq.errors import ConfigurationError, OptionError
from cloudq.running.events import Snapshot
from cloudq.worker import service
from cloudq.worker.settings import WorkerSettings

ROOT = Path(__file__).parents[4]


@pytest.fixture
def queues(module, tmp_path):
    """Two queues in a file, as a worker in another process would share it."""
    redis = Connection("rq_functions", url=f"sqlite:///{tmp_path / 'jobs.db'}")
    assert logging.getLogger().handlers, "pytest's own keep the worker from setting up logging"
    yield Queue("high", connection=redis), Queue("low", connection=redis), module
    redis.close()


def test_a_burst_runs_all(queues) -> None:
    """Of all its queues, and says whether there was a job."""
    high, low, module = queues
    for n in range(3):
        low.enqueue(module.add, n)
        high.enqueue(module.add, 10 + n)
    worker = SimpleWorker([high, low])
    assert ["high", "low"] == worker.queue_names()
    assert worker.work(burst=True, with_scheduler=True)
    assert [0, 1, 2, 10, 11, 12] == sorted(x for x, *_ in module.ran)
    assert not worker.work(burst=True)
    assert 0 == high.count == low.count


def test_it_ends_after_so_many_jobs(queues) -> None:
    """The others wait for another one. By names, with the connection; the second strategy takes turns."""
    high, low, module = queues
    for n in range(3):
        low.enqueue(module.add, n)
    worker = Worker("low", connection=high.connection, name="w", default_result_ttl=500, log_job_description=False)
    assert "w" == worker.name
    assert worker.work(max_jobs=2, dequeue_strategy="round_robin")
    assert 2 == len(module.ran)
    assert 1 == low.count


@pytest.mark.parametrize(("strategy", "strict"), [("default", True), ("round_robin", False)])
def test_jobs_run_one_at_a_time_and_those_of_the_first_queue_first(queues, monkeypatch, strategy, strict) -> None:
    """Or by turns."""
    high, low, _ = queues
    made: list[WorkerSettings] = []
    monkeypatch.setattr(service, "Worker", lambda _, settings: made.append(settings) or Done())
    assert not Worker([low, high]).work(dequeue_strategy=strategy, max_jobs=3)
    [settings] = made
    assert (["low", "high"], strict, 1, 3) == (
        list(settings.queues),
        settings.strict,
        settings.concurrency,
        settings.max_tasks,
    )


class Done:
    """In the place of a worker: it is done at once."""

    def run(self) -> int:
        return 0

    def snapshot(self) -> Snapshot:
        return Snapshot()


def test_a_job_may_end_it(queues) -> None:
    """As a handler of the script's own would; before it works, nothing is there to stop."""
    high, _, module = queues
    high.enqueue(module.add, 1)
    worker = Worker(high)
    worker.request_stop()
    module.ran = Stops(worker)
    assert worker.work()
    assert 1 == module.ran.count


def test_it_may_be_ended_while_it_imports(queues, monkeypatch) -> None:
    """No job is begun then. The next `work` knows nothing of that."""
    high, _, module = queues
    high.enqueue(module.add, 1)
    worker = Worker(high)
    load = high.connection.load
    with monkeypatch.context() as patch:
        patch.setattr(high.connection, "load", lambda: (load(), worker.request_stop(15, None)))
        assert not worker.work(burst=True)
    assert 1 == high.count
    assert worker.work(burst=True)
    assert 1 == len(module.ran)


class Stops:
    """In the place of a list: what is added to it has the worker end."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.count = 0

    def append(self, _: object) -> None:
        self.count += 1
        self._worker.request_stop(15, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"exception_handlers": [print]}, "exception_handlers of a worker can't be honoured"),
        ({"serializer": "json"}, "serializer of a worker"),
        ({"default_result_ttl": 5}, "default_result_ttl of a worker"),
        ({"nobody": 1}, "nobody of a worker"),
    ],
)
def test_what_it_cannot_honour_is_refused(options, words) -> None:
    """By its name."""
    with pytest.raises(OptionError, match=words):
        Worker("q", connection=Connection("pages"), **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_idle_time": 5}, "max_idle_time of work can't be honoured"),
        ({"dequeue_strategy": "random"}, "dequeue_strategy of work"),
        ({"log_format": "%(message)s"}, "log_format of work"),
    ],
)
def test_what_work_cannot_honour_is_refused(options, words) -> None:
    """Before anything is opened."""
    worker = Worker("q", connection=Connection("pages"))
    with pytest.raises(OptionError, match=words):
        worker.work(burst=True, **options)
    assert not worker.connection.is_open


def test_it_needs_queues_of_one_connection() -> None:
    """Named, or as they are."""
    one, other = (Queue("q", connection=Connection("pages")) for _ in range(2))
    with pytest.raises(OptionError, match="needs a queue"):
        Worker([], connection=one.connection)
    with pytest.raises(ConfigurationError, match=r"one of cloudq.compat.rq"):
        Worker(["q"])
    with pytest.raises(ConfigurationError, match="of one connection"):
        Worker([one, other])
    assert Worker(["q", one]).queue_names() == ["q", "q"]


def test_what_rqs_class_has_says_what_there_is_instead() -> None:
    """Methods of the class too."""
    with pytest.raises(AttributeError, match="there is no list of workers"):
        Worker.all(connection=None)
    with pytest.raises(AttributeError, match="cloudq's own"):
        _ = SimpleWorker.nobody


def test_a_script_of_its_own_logs_and_ends(tmp_path) -> None:
    """As RQ's does: by itself at INFO, where the script has set up nothing."""
    (tmp_path / "pages.py").write_text("def look(url):\n    print('looked at', url, flush=True)\n")
    (tmp_path / "run.py").write_text(
        "from cloudq.compat.rq import Connection, Queue, Worker\nimport pages\n"
        "redis = Connection('pages')\nQueue('q', connection=redis).enqueue(pages.look, 'here')\n"
        "raise SystemExit(0 if Worker(['q'], connection=redis).work(burst=True) else 9)\n"
    )
    ended = subprocess.run(
        [sys.executable, "run.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "CLOUDQ_URL": f"sqlite:///{tmp_path / 'q.db'}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, "looked at here\n") == (ended.returncode, ended.stdout), ended.stderr
    assert " INFO cloudq" in ended.stderr
