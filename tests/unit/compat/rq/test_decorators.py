"""`@job` declares a function, which stays one, and gives it what enqueues it."""

from __future__ import annotations

import sys
from datetime import timedelta
from importlib import import_module

import pytest

from cloudq.compat.rq import Connection, Job, Queue, Retry
from cloudq.compat.rq.decorators import job
from cloudq.compat.rq.words import DECORATOR, DELAY
from cloudq.errors import ConfigurationError, OptionError, TaskDefinitionError
from cloudq.tasks.task import definition_of
from cloudq.testing import in_memory, run_all, sent

CODE = """
from rq_desk import low, redis
from cloudq.compat.rq import Queue, Retry
from cloudq.compat.rq.decorators import job

ran = []

@job("high", connection=redis, timeout=77, result_ttl=9, ttl=60, meta={"a": 1}, description="adds", retry=Retry(max=1))
def add(x: "Late", y=1):
    ran.append((x, y))
    return x + y

@job(low, timeout=-1, result_ttl=0)
def _private():
    ran.append("private")

def plain(): ...

Late = int
Queue("later", connection=redis)
"""
QUEUES = """
from cloudq.compat.rq import Connection, Queue
redis = Connection("rq_decorated")
low = Queue("low", connection=redis)
"""


@pytest.fixture
def keeping(tmp_path, monkeypatch):
    """A module of one job that keeps its result, where its connection keeps none."""
    (tmp_path / "rq_kept.py").write_text(
        "from cloudq.compat.rq import Connection\n"
        "from cloudq.compat.rq.decorators import job\n"
        "redis = Connection('rq_kept', result_ttl=None)\n"
        "@job('high', connection=redis, result_ttl=9)\n"
        "def add(x, y): return x + y\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        module = import_module("rq_kept")
        with in_memory(module.redis):
            yield module
    finally:
        del sys.modules["rq_kept"]


@pytest.fixture
def decorated(tmp_path, monkeypatch):
    """The module, in whose connection's memory everything is."""
    (tmp_path / "rq_decorated.py").write_text(CODE)
    (tmp_path / "rq_desk.py").write_text(QUEUES)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        module = import_module("rq_decorated")
        with in_memory(module.redis):
            yield module
    finally:
        del sys.modules["rq_decorated"], sys.modules["rq_desk"]


def test_what_a_function_keeps_is_found_by_the_id_alone(keeping) -> None:
    """Nothing says whose job an id is, so that one function which keeps results is enough for a look."""
    done = keeping.add.delay(1, y=2)
    run_all(keeping.redis)
    assert 3 == done.return_value() == Job.fetch(done.id, connection=keeping.redis).return_value()


def test_delay_stores_a_job_that_runs(decorated) -> None:
    """With what the decorator was given; the function is still one."""
    made = decorated.add.delay(1, y=2)
    assert isinstance(made, Job)
    assert decorated.add.enqueue is decorated.add.delay
    [message] = sent(decorated.redis)
    assert ("high", "rq_decorated.add", {"x": 1, "y": 2}) == (message.queue, message.task, message.payload)
    assert message.expires_at - message.sent_at == timedelta(seconds=60)
    assert ({"a": 1}, "adds", 1, 77) == (made.meta, made.description, made.retries_left, made.timeout)
    run_all(decorated.redis, raise_errors=True)
    assert ("finished", 3) == (made.get_status(), made.return_value())
    assert 7 == decorated.add(3, 4)


def test_a_worker_finds_them_with_their_own_options(decorated) -> None:
    """Private ones too; each may go to every queue, also to one that was made after it, and its own is the first."""
    decorated.redis.load()
    add, private = (decorated.redis.tasks[f"rq_decorated.{name}"] for name in ("add", "_private"))
    assert (timedelta(seconds=77), None) == (add.time_limit, private.time_limit)
    kept = [definition_of(task).run_options.keep_result for task in (add, private)]
    assert [timedelta(seconds=9), None] == kept
    assert [("high", "low", "later"), ("low", "high", "later")] == [definition_of(t).queues for t in (add, private)]
    assert "rq_decorated.plain" in decorated.redis.tasks
    decorated._private.delay()
    run_all(decorated.redis, raise_errors=True)
    assert ["private"] == decorated.ran


@pytest.mark.parametrize("name", sorted(DELAY.refused))
def test_what_delay_cannot_honour_is_refused(decorated, name) -> None:
    """What RQ takes out of the arguments; all else is the function's."""
    with pytest.raises(OptionError, match=f"{name} of a job can't be honoured"):
        decorated.add.delay(1, **{name: "x"})
    assert [] == sent(decorated.redis)
    decorated.add.delay(1, **{name: None})


@pytest.mark.parametrize("name", sorted(DECORATOR.refused))
def test_what_cannot_be_honoured_is_refused_at_the_declaration(redis, name) -> None:
    """By its name; what RQ has by default asks for nothing."""
    with pytest.raises(OptionError, match=f"{name} of @job can't be honoured"):
        job("high", connection=redis, **{name: object()})
    job("high", connection=redis, **{name: None})
    job("high", connection=redis, queue_class=Queue)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout": 0}, "timeout is a number of seconds"),
        ({"result_ttl": -1}, "result_ttl is a number of seconds"),
        ({"retry": 3}, "retry of a job is a Retry"),
        ({"meta": [1]}, "meta of a job is a JSON object"),
    ],
)
def test_what_is_wrong_is_said_at_the_declaration(redis, module, options, words) -> None:
    """Not at the first delay."""
    with pytest.raises(OptionError, match=words):
        job("high", connection=redis, **options)(module.add)


def test_a_function_that_no_worker_would_run_is_refused(redis, module) -> None:
    """Of a module that the connection doesn't name; one that is no function; one of another connection's queue."""
    with pytest.raises(ConfigurationError, match="in none of the modules"):
        job("high", connection=Connection("pages"))(module.add)
    with pytest.raises(TaskDefinitionError):
        job("high", connection=redis)(module.all_of)
    with pytest.raises(ConfigurationError, match="of another connection"):
        job(Queue("high", connection=redis), connection=Connection("pages"))
    with pytest.raises(ConfigurationError, match=r"one of cloudq.compat.rq"):
        job("high")
    job("high", connection=redis, retry=Retry(max=1))(module.add)
