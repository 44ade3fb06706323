"""Which functions may be jobs: those of the modules that are named, and none for what a message says."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from cloudq.compat.rq import Connection, Queue
from cloudq.core.message import Message
from cloudq.discovery import load_app
from cloudq.errors import ConfigurationError, OptionError, TaskDefinitionError
from cloudq.testing import in_memory, run_all

ROOT = Path(__file__).parents[4]


def test_a_worker_declares_the_public_functions_of_the_modules(module, tmp_path, monkeypatch):
    """Those that are declared there and can be tasks, on all queues, with RQ's own default of a time limit."""
    (tmp_path / "rq_queues.py").write_text(
        "from cloudq.compat.rq import Connection, Queue\n"
        "redis = Connection('rq_functions', job_timeouts={'rq_functions.add': 600, 'rq_functions.asks': -1})\n"
        "important, low = (Queue(name, connection=redis) for name in ('important', 'low'))\n"
    )
    monkeypatch.chdir(tmp_path)
    app = load_app("rq_queues", safe_path=True)
    del sys.modules["rq_queues"]  # it is this test's
    names = {name.removeprefix("rq_functions.") for name in app.tasks}
    declared = {"add", "fails", "afails", "asks", "gives_up", "returns_retry", "areturns_retry", "tells"}
    declared |= {"exits", "awaits_what_is_cancelled", "waits", "breaks_its_transaction"}
    assert declared == names, "not: all_of, talks, makes, _private, basename, Shop"
    assert ["important", "low"] == app.runtime.declared_queues()
    limits = [app.tasks[f"rq_functions.{name}"].time_limit for name in ("fails", "add", "asks")]
    assert [timedelta(seconds=180), timedelta(seconds=600), None] == limits


def test_single_functions_may_be_named(module):
    """Then no other of their module is one; private ones too, and one that can't be a task is an error."""
    connection = Connection("rq_functions:_private", "rq_functions:add")
    connection.load()
    assert {"rq_functions._private", "rq_functions.add"} == set(connection.tasks)
    with pytest.raises(ConfigurationError, match="fails is in none of the modules"):
        connection.job_task(module.fails)
    for name, words in (("all_of", r"\*items"), ("talks", "JSON"), ("makes", "returned")):
        with pytest.raises(TaskDefinitionError, match=words):
            Connection(f"rq_functions:{name}").load()
    for name in ("nobody", "Shop", "run_all"):
        with pytest.raises(ConfigurationError):
            Connection(f"rq_functions:{name}").load()
    Connection("rq_functions:makes", result_ttl=None).load()


def test_a_message_that_names_anything_else_imports_nothing(module, tmp_path, monkeypatch):
    """What a stranger wrote: it waits as any unknown task does, then it is dead. Its module was never loaded."""
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')\ndef run(): ...\n")
    connection = Connection("rq_functions", unknown_task_patience=timedelta(0))
    connection.load()
    with in_memory(connection):
        for task in (
            "trap.run",
            "os.system",
            "rq_functions.Shop.open",
            "rq_functions._private",
            "rq_functions.run_all",
        ):
            connection.queue("important").send(Message(id=task, task=task, queue="important", payload={}))
        report = run_all(connection)
    assert 5 == len(report.dead_letters)
    assert all("unknown task" in dead.failure.reason for dead in report.dead_letters)
    assert [] == module.ran
    assert "trap" not in sys.modules


def test_enqueueing_a_text_imports_only_what_is_named(module, tmp_path):
    """So that a text from outside, a form's say, can't name more than the modules' functions either."""
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')\n")
    connection = Connection("rq_functions")
    for name in ("trap.run", "os.system", "add", "rq_functions.trap.run", ""):
        with pytest.raises(ConfigurationError, match="in none of the modules"):
            connection.job_task(name)
    assert "rq_functions.add" == connection.job_task("rq_functions.add").name
    assert connection.job_task("rq_functions.add") is connection.job_task(module.add)


@pytest.mark.parametrize("given", [len, print, object(), "".join, lambda: None])
def test_what_is_no_function_of_a_module_is_refused(module, given):
    """RQ would pickle it, or find it by name in the worker."""
    with pytest.raises((OptionError, TaskDefinitionError)):
        Connection("rq_functions").job_task(given)


def test_a_method_of_an_object_is_refused(module):
    """With what to do."""
    with pytest.raises(OptionError, match="a job is a function of a module") as refused:
        Connection("rq_functions").job_task(module.Shop().open)
    assert "write a function" in str(refused.value.hint)


def test_tasks_of_cloudq_live_beside_jobs(module):
    """Declared on the connection, which is an App: one after the other is moved."""
    connection = Connection("rq_functions", result_ttl=None)

    @connection.task("t", queue="important")
    def task(x: int) -> None:
        module.ran.append(x)

    with in_memory(connection):
        task.send(1)
        Queue("important", connection=connection).enqueue(task, 2)
        run_all(connection, raise_errors=True)
    assert [1, 2] == module.ran


@pytest.mark.parametrize(
    ("modules", "settings", "words"),
    [
        ((), {}, "no modules"),
        (("pages.*",), {}, "names no module"),
        (("",), {}, "names no module"),
        ((None,), {}, "names no module"),
        (("pages",), {"job_timeout": 0}, "job_timeout is a number of seconds"),
        (("pages",), {"job_timeouts": {"pages.f": "1h"}}, "job_timeouts"),
        (("pages",), {"result_ttl": -1}, "result_ttl is a number of seconds"),
        (("pages",), {"nobody": 1}, "no setting 'nobody'"),
    ],
)
def test_what_it_is_given_is_looked_at(modules, settings, words):
    """When it is made."""
    with pytest.raises((ConfigurationError, OptionError), match=words):
        Connection(*modules, **settings)


def test_a_module_that_cannot_be_imported_is_an_error_of_the_worker(tmp_path, monkeypatch):
    """Which says whose it is."""
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigurationError, match="nobody_has_this, whose functions may be jobs, can't be imported"):
        Connection("nobody_has_this").load()


def test_the_functions_may_enqueue_in_their_turn(tmp_path):
    """Their module imports that of the queues, which imports none of them before the worker loads."""
    (tmp_path / "queues.py").write_text(
        "from cloudq.compat.rq import Connection, Queue\n"
        "redis = Connection('steps')\nimportant = Queue('important', connection=redis)\n"
    )
    (tmp_path / "steps.py").write_text(
        "from queues import important\n"
        "def first(n):\n    important.enqueue(second, n + 1)\n"
        "def second(n):\n    print('second', n, flush=True)\n"
    )
    run = [
        "import queues, steps; queues.important.enqueue(steps.first, 1)",
        "import sys; from cloudq.cli import main; sys.exit(main(['worker', '--app', 'queues', '--burst']))",
    ]
    environment = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "PATH": "", "CLOUDQ_URL": f"sqlite:///{tmp_path / 'q.db'}"}
    printed = ""
    for code in run:
        ended = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert 0 == ended.returncode, ended.stderr
        printed += ended.stdout
    assert "second 2\n" == printed
