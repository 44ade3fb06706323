"""Mistakes of people who are new, at the shell and in Python: each is told in a line, with a line of what to do."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tenacity

import cloudq
from cloudq import App, RetryPolicy, errors
from cloudq.cli.failures import exit_code
from cloudq.testing import in_memory, run_all, sent

FILES = {
    "pyproject.toml": "",
    "typo.py": "import cloudq\ncloudq.tsk\n",
    "missing_package.py": "import not_installed_here\n",
    "circle_a.py": "from circle_b import y\nx = 1\n",
    "circle_b.py": "from circle_a import x\n",
    "syntax.py": "def\n",
    "exits.py": "raise SystemExit('no settings')\n",
    "mixed.py": "import cloudq\napp = cloudq.App()\n@cloudq.task\ndef mixed_up(): ...\n",
    "two.py": "import cloudq\na = cloudq.App()\nb = cloudq.App()\n",
    "empty.py": "import cloudq\napp = cloudq.App()\n",
    "pack/__init__.py": "",
    "pack/tasks.py": "import cloudq\n",
    "twice.py": "import cloudq\napp = cloudq.App()\n@app.task('t')\ndef a(): ...\n@app.task('t')\ndef b(): ...\n",
    "stars.py": "import cloudq\napp = cloudq.App()\n@app.task\ndef a(*args): ...\n",
    "method.py": "import cloudq\napp = cloudq.App()\nclass A:\n    @app.task\n    def a(self): ...\n",
    "odd_type.py": "import cloudq\napp = cloudq.App()\n@app.task\ndef a(x: complex): ...\n",
    "odd_imports.py": "import cloudq\napp = cloudq.App(imports=['nowhere'])\n",
    "odd_middleware.py": "import cloudq\napp = cloudq.App(middleware=[lambda context: None])\n",
    "odd_retry.py": "import cloudq\napp = cloudq.App(retry=cloudq.RetryPolicy(stop=5))\n",
    "notes.txt": "x" * 2000,
    "short.txt": "x",
}

app = App("memory://")


@app.task("mistakes.ok", queue="mistakes")
def ok(x: int, when: datetime | None = None) -> None:
    """Does nothing."""


@app.task("mistakes.free")
def free(x) -> None:  # no annotation: that's the point
    """Does nothing."""


def declare(function: Callable[..., Any], **options: Any) -> Any:
    return App("memory://").task(**options)(function)


def no_parameters() -> None: ...


def stars(*args: int) -> None: ...


class At(NamedTuple):
    """Mistakes at the shell: the command, what else there is, the exit code, a line what, a line what to do."""

    command: str
    code: int
    what: str
    hint: str
    environment: str = ""
    project: str = ""


class In(NamedTuple):
    """Mistakes in Python: what is called, the class of the error, a line what, a line what to do."""

    call: Callable[[], Any]
    kind: type[Exception]
    what: str
    hint: str


SHELL = [
    At("wrkr", 2, "No such command 'wrkr'. Did you mean 'worker'?", "Try 'cloudq -h' for help"),
    At("send", 2, "Missing argument 'TASK'", "Try 'cloudq send -h' for help"),
    At("stats --queu x", 2, "No such option: --queu (Possible options: --debug, --queue)", "Try 'cloudq stats -h'"),
    At("dlq lst", 2, "No such command 'lst'. Did you mean 'list'?", "Try 'cloudq dlq -h' for help"),
    At("worker --concurrency 0", 2, "Invalid value for '--concurrency'", "Try 'cloudq worker -h' for help"),
    At("worker --concurrency many", 2, "Invalid value for '--concurrency'", "Try 'cloudq worker -h' for help"),
    At("dlq list q --limit -1", 2, "Invalid value for '--limit'", "Try 'cloudq dlq list -h' for help"),
    At("explain queue-notfound", 2, "no error with the code 'queue-notfound': did you mean 'queue-not-found'", "lists"),
    # Which app.
    At("tasks", 2, "no app was found in {0}", "--app shop.tasks"),
    At("tasks --app nowhere", 2, "there is no module 'nowhere' to import from {0}", "check --app"),
    At(
        "tasks --app shop:nobody", 2, "shop:nobody is no App: the module has nothing of that name", "its Apps: shop:app"
    ),
    At("tasks --app shop:welcome", 2, "it is a Task", "its Apps: shop:app"),
    At("tasks --app shop:NUMBER", 2, "it is an int", "its Apps: shop:app"),
    At("tasks --app :app", 2, "':app' names no module", "--app shop.tasks:app"),
    At("tasks --app a-b", 2, "'a-b' names no module", "--app shop.tasks:app"),
    At("tasks --app typo", 2, "no attribute 'tsk'; hint: did you mean 'task'? ({0}/typo.py:2)", "--debug shows"),
    At("tasks --app missing_package", 2, "No module named 'not_installed_here' ({0}/missing_package.py:1)", "install"),
    At("tasks --app circle_a", 2, "({0}/circle_b.py:1)", "two modules import each other"),
    At("tasks --app syntax", 2, "syntax can't be imported: SyntaxError: invalid syntax (syntax.py, line 1)", "--debug"),
    At("tasks --app exits", 2, "SystemExit: no settings ({0}/exits.py:1)", "--debug shows the whole traceback"),
    At("tasks --app mixed", 2, "its App has none, and mixed.mixed_up belong to the default app", "@app.task"),
    At("tasks --app two", 2, "two has several Apps: two:a, two:b", "name one of them with --app"),
    At("tasks --app empty", 2, "empty was imported, but it declares no task", "decorate functions"),
    At("tasks --app pack", 2, "it is a package, and its modules aren't imported with it", "--app pack.tasks"),
    At("tasks --app twice", 2, "the task name 't' is declared twice: at {0}/twice.py:3 and", "another name"),
    At("tasks --app stars", 2, "task 'stars.a' takes *args", "declare it as a list"),
    At("tasks --app method", 2, "A.a is a method", "@staticmethod"),
    At("tasks --app odd_type", 2, "parameter 'x' of task 'odd_type.a' is or holds a complex", "use a dataclass"),
    At("tasks --app odd_imports", 2, "imports names 'nowhere', which can't be imported", "install what provides"),
    At("tasks --app odd_middleware", 2, "<lambda> is no middleware: it has no yield", "outcome = yield"),
    At("tasks --app odd_retry", 2, "stop is 5, not one of tenacity's stop strategies", "--debug shows"),
    At(
        "tasks",
        2,
        "[tool.cloudq] in {0}/pyproject.toml has an unknown key 'ap'",
        "mean 'app'",
        "",
        '[tool.cloudq]\nap = "s"',
    ),
    At("stats", 2, "{0}/pyproject.toml can't be read", "--app", "", "[tool.cloudq"),
    At("tasks", 2, "is no text", 'app = "shop.tasks"', "", "[tool.cloudq]\napp = 5"),
    # Which backend.
    At("stats", 2, "CLOUDQ_URL is set, but to nothing", "unset it", "CLOUDQ_URL="),
    At("stats --queue q", 2, "there is no backend 'redis'", "backends: cloudtasks, memory", "CLOUDQ_URL=redis://h"),
    At("stats --backend postgres://u:p@h/db", 2, "there is no backend 'postgres'", "backends: cloudtasks"),
    At("stats --backend sqss", 2, "there is no backend 'sqss'", "did you mean 'sqs'?"),
    At("stats --backend sqs", 2, "but CLOUDQ_URL names 'sqlite'", "starts with sqs://"),
    At("stats --backend sqs://us-eest-9", 2, "what sqs:// names is not a region of AWS", "sqs://eu-west-1"),
    At("stats --backend sqs://eu-west-1/q", 2, "sqs:// takes a region and no path", "?prefix=prod-"),
    At("stats --backend sqs://key:secret@eu-west-1", 2, "the sqs:// URL holds credentials", "leave them to the env"),
    At("stats --backend sqs://eu-west-1?account=me", 2, "account is not an AWS account", "twelve digits"),
    At("stats --backend sqs://eu-west-1?endpoint_url=localhost", 2, "endpoint_url starts with neither", "http://"),
    At("stats --backend https://sqs.eu-west-1.amazonaws.com/1/q", 2, "there is no backend 'https'", "sqs://eu-west-1"),
    At("stats --backend sb://shop.servicebus.windows.net", 2, "there is no backend 'sb'", "servicebus://NAMESPACE"),
    At("stats --backend Endpoint=sb://h/;SharedAccessKey=x", 2, "a connection string", "CLOUDQ_SERVICEBUS_CONNECTION"),
    At("stats --backend servicebus://", 2, "servicebus:// names no namespace", "servicebus://NAMESPACE"),
    At("stats --backend cloudtasks://p", 2, "takes a project and a location", "cloudtasks://my-project/europe-west1"),
    At("stats --backend cloudtasks://my-project/europe-west1", 2, "the URL that messages are pushed to", "?target="),
    At("stats --backend memory://", 2, "memory:// lives inside one process", "sqlite:///cloudq.db"),
    At("stats --backend file:///q.db", 2, "there is no backend 'file'", "sqlite:///relative.db"),
    At("stats --backend sqlite://q.db", 2, "something stands where a host would", "sqlite:///relative.db"),
    At("stats --backend sqlite:///", 2, "sqlite:// needs the path of a file", "sqlite:///cloudq.db"),
    At("stats --backend sqlite:///q.db?sync=1", 2, "sqlite:// has no parameter 'sync'", "its parameters: busy_timeout"),
    At("stats --backend sqlite:///q.db?timeout=soon", 2, "timeout is not a number of seconds", "timeout=30"),
    At("stats --backend sqlite:///q.db?timeout", 2, "aren't name=value&name=value", "?timeout=30"),
    At("stats --backend sqlite:///q.db?timeout=1&timeout=2", 2, "names the parameter 'timeout' twice", "give it once"),
    At("stats --backend sqlite:///q.db?synchronous=off", 2, "is neither full nor normal", "synchronous=full"),
    At("stats --backend sqlite:///q.db#x", 2, "a backend URL has no #fragment", "%23"),
    At("stats --backend sqlite:///nowhere/q.db", 2, "the folder {0}/nowhere of the database doesn't exist", "mkdir -p"),
    At("stats --backend sqlite:///.", 2, "{0} is a folder, not a database file", "name a file in it"),
    At("stats --backend sqlite:///notes.txt", 3, "notes.txt isn't an intact cloudq database", "restore it"),
    At("stats --backend sqlite:///short.txt", 3, "it has only 1 bytes", "choose another file"),
    At("stats --backend sqlite:///other.db", 3, "other.db is a database of another program", "choose another file"),
    # Queues.
    At("stats --queue a+b", 2, "'a+b' is not the name of a queue", "letters, digits"),
    At("stats --queue q-dlq", 2, "'q-dlq' is the name of a dead-letter queue", "name the queue it belongs to: q"),
    At("purge q", 2, "not done, as nobody can be asked", "add --yes"),
    At("queues check q", 2, "queues of sqlite:// can't be checked", "cloudq stats --queue NAME"),
    At("queues create q", 2, "sqlite:// needs no queues to be created", "from its first message on"),
    # Sends.
    At("send shop.welcom --app shop", 2, "no task 'shop.welcom': did you mean 'shop.welcome'?", "--unchecked"),
    At("send shop.welcome --app shop", 2, "shop.welcome: user_id: is missing", "its parameters: (user_id"),
    At('send shop.welcome {"user_id":"x"} --app shop', 2, "user_id: Expected `int`, got `str`", "its parameters:"),
    At('send shop.welcome {"user_id":1,"x":2} --app shop', 2, "shop.welcome has no parameter 'x'", "its parameters:"),
    At("send t { --unchecked", 2, "the payload isn't JSON", "quote it for the shell"),
    At("send t [1] --unchecked", 2, "the payload is a JSON list, not an object", '{"user_id": 42}'),
    At("send t --delay soon", 2, "--delay 'soon' is no length of time", "--delay 30s"),
    At("send t --delay=-5s", 2, "--delay '-5s' is no length of time", "--delay 30s"),
    At("send t --delay 99999d", 2, "--delay '99999d' is longer than ten years", "--delay 30s"),
    At("send t --at tomorrow", 2, "--at 'tomorrow' is no time in ISO 8601", "--at 2027-01-31T09:00+01:00"),
    At("send t --at 2030-01-31T09:00", 2, "has no UTC offset", "--at 2030-01-31T09:00+01:00"),
    At("send t --at 2030-01-31T09:00Z --delay 5m", 2, "--delay and --at exclude each other", "give one of them"),
    At("send t --queue x.fifo", 2, "the message has none", "pass --ordering-key KEY"),
    At("send t --ordering-key k", 2, "so --ordering-key is refused", "ends in .fifo"),
    At("send t --idempotency-key=", 2, "--idempotency-key is a text of 1 to 512 characters", "an id of the work"),
    At("send t --header a", 2, "--header 'a' is not NAME=TEXT", "--header tenant=a"),
    At("send t --queue a+b", 2, "'a+b' is not the name of a queue", "letters, digits"),
    At("cancel cq1.x", 2, "this is no receipt of a message", "the .receipt of what a send returned"),
    # Dead letters.
    At("dlq show q 99", 1, "there is no dead letter '99' in queue 'q'", "cloudq dlq list q"),
    At("dlq show q", 2, "either KEYs, --where or --all", "cloudq dlq list QUEUE"),
    At("dlq show q 1 2 --raw", 2, "--raw writes the body of one dead letter", "name one KEY"),
    At("dlq redrive q 1 --by-service", 2, "it goes with --all", "cloudq dlq redrive q --all --by-service"),
    At("dlq redrive q --all --by-service --yes", 2, "this backend has no such move", "cloudq dlq redrive q --all"),
    At("dlq list --after 1 --app shop", 2, "--after needs a queue", "name the queue"),
    # Workers.
    At("worker --app shop --lease 0", 2, "--lease '0' has to be longer than nothing", "--lease 30s"),
    At("worker --app shop --lease 5 --wait 10", 2, "--lease of 5 s is too short", "--lease at least 25 s"),
    At(
        "worker --app shop --concurrency 2 --processes 2", 2, "exclude each other", "--processes for tasks that compute"
    ),
    At("worker --app shop --queue q=0", 2, "a weight is a whole number from 1", "--queue q=5"),
    At("worker --app shop --queue q --queue q", 2, "--queue 'q' is given twice", "name each queue once"),
    At("worker --app shop --queue q=2 --strict", 2, "which --strict ignores", "leave out the weights"),
    At("worker --app shop --health x", 2, "--health 'x' is no port to listen on", "--health 8080"),
    At("worker --app shop --log-format xml", 2, "there is no log format 'xml'", "--log-format json"),
    At("worker --app shop --log-level loud", 2, "there is no log level 'loud'", "debug, info"),
    At("worker --app shop --port 80", 2, "--port is for backends that push", "--backend cloudtasks"),
    At("worker --app shop --backend memory://", 2, "lives inside one process", "run_all"),
]
PYTHON = [
    In(lambda: App("memory://").send(ok, {"x": 1}), cloudq.OptionError, "belongs to another App", "by name"),
    In(lambda: app.send(ok, x=1), cloudq.OptionError, "the task has a parameter of that name", "task.send(x=...)"),
    In(lambda: app.send(ok, {"x": 1}, delays=1), cloudq.OptionError, "did you mean 'delay'", "payload"),
    In(lambda: app.send(no_parameters, {}), cloudq.OptionError, "is no task", "decorate the function"),
    In(lambda: ok.options(delay=5), cloudq.OptionError, "delay is a timedelta, not 5", "timedelta(seconds=30)"),
    In(lambda: ok.options(delay=timedelta(seconds=-5)), cloudq.OptionError, "delay is -5 s", "leave it out"),
    In(
        lambda: ok.options(at=datetime(2030, 1, 1)),  # noqa: DTZ001 - that's the mistake
        cloudq.OptionError,
        "at is a datetime with a UTC offset",
        "tzinfo=",
    ),
    In(
        lambda: ok.options(at=datetime(2030, 1, 1, tzinfo=UTC), delay=timedelta(1)),
        cloudq.OptionError,
        "delay and at exclude each other",
        "give one of them",
    ),
    In(lambda: ok.options(idempotency_key=5), cloudq.OptionError, "is a text of 1 to 512", "an id of the work"),
    In(lambda: ok.options(headers={"a": 1}), cloudq.OptionError, "headers are texts by name", "tenant"),
    In(lambda: ok.options(queue="a+b"), cloudq.OptionError, "is not the name of a queue", "letters, digits"),
    In(lambda: ok.send(x="a"), cloudq.PayloadError, "x: Expected `int`, got `str`", "its parameters: (x: "),
    In(ok.send, cloudq.PayloadError, "x: is missing", "its parameters: (x: "),
    In(lambda: ok.send(1, 2, 3), cloudq.PayloadError, "too many positional arguments", "its parameters: (x: "),
    In(lambda: ok.send(x=1, y=2), cloudq.PayloadError, "y", "its parameters: (x: "),
    In(lambda: free.send(datetime.now(UTC)), cloudq.PayloadError, "as nothing says what it is", "annotate"),
    In(lambda: free.send(object()), cloudq.PayloadError, "can't travel as JSON", "declare a type"),
    In(lambda: free.send(float("nan")), cloudq.PayloadError, "holds a number that JSON doesn't have", "send None"),
    In(lambda: app.send_many([ok]), cloudq.OptionError, "send_many takes calls, not Task", "task.call(...)"),
    In(lambda: app.send(ok.call(1), {"x": 1}), cloudq.PayloadError, "a Call has its payload already", "alone"),
    In(lambda: app.cancel("x"), cloudq.OptionError, "this is no receipt of a message", ".receipt"),
    In(cloudq.current, errors.NotInTask, "no task is running", "Context"),
    In(lambda: ok.delay(1), AttributeError, "no attribute 'delay'", "task.send(...)"),
    In(lambda: ok.apply_async((1,)), AttributeError, "no attribute 'apply_async'", "task.options("),
    In(lambda: cloudq.Sent(id="1").get(), AttributeError, "no attribute 'get'", "sent.result(timeout)"),
    In(lambda: ok.call(1).delay(), AttributeError, "no attribute 'delay'", "cloudq.send(call)"),
    In(lambda: app.send_task("t"), AttributeError, "no attribute 'send_task'", "app.send("),
    In(lambda: cloudq.shared_task, AttributeError, "no attribute 'shared_task'", "known"),
    In(lambda: cloudq.QueueNotFound, AttributeError, "no attribute 'QueueNotFound'", "cloudq.errors.QueueNotFound"),
    In(lambda: App(middleware=[lambda context: None]), cloudq.ConfigurationError, "is no middleware", "= yield"),
    In(lambda: App(middleware="auth"), cloudq.ConfigurationError, "middleware is a list", "middleware=[...]"),
    In(lambda: App(imports="shop.tasks"), cloudq.ConfigurationError, "imports is a list", "['shop.tasks']"),
    In(lambda: App(retry=5), cloudq.ConfigurationError, "retry is a RetryPolicy, not 5", "stop_after_attempt(5)"),
    In(lambda: App(5), cloudq.ConfigurationError, "url is a text, not an int", "sqlite:///cloudq.db"),
    In(lambda: App(retries=5), cloudq.ConfigurationError, "an App has no setting 'retries'", "'retry'"),
    In(lambda: App("redis://h").driver(), cloudq.ConfigurationError, "there is no backend 'redis'", "backends:"),
    In(lambda: RetryPolicy(stop=5), TypeError, "not one of tenacity's stop strategies", "stop_after_attempt(5)"),
    In(lambda: RetryPolicy(wait=5), TypeError, "not one of tenacity's wait strategies", "wait_fixed(5)"),
    In(lambda: RetryPolicy(retry=ValueError), TypeError, "retry strategies", "retry_if_exception_type(ValueError)"),
    In(lambda: RetryPolicy(stop=tenacity.stop_never.__class__), TypeError, "stop strategies", "stop_after_attempt(5)"),
    In(lambda: declare(no_parameters, retry=3), cloudq.TaskDefinitionError, "is a RetryPolicy, not 3", "attempt(3)"),
    In(lambda: declare(no_parameters, lease=5), cloudq.TaskDefinitionError, "a positive timedelta, not 5", "minutes=5"),
    In(lambda: declare(no_parameters, timelimit=5), cloudq.TaskDefinitionError, "no task option 'timelimit'", "time_"),
    In(lambda: declare(no_parameters, idempotency_key="x"), cloudq.TaskDefinitionError, "no parameter", "order_id"),
    In(lambda: declare(no_parameters, ordering_key="{y}"), cloudq.TaskDefinitionError, "no parameter 'y'", "template"),
    In(
        lambda: declare(no_parameters, queue="a+b"), cloudq.OptionError, "is not the name of a queue", "letters, digits"
    ),
    In(lambda: declare(stars), cloudq.TaskDefinitionError, "takes *args", "as a list"),
    In(lambda: declare(5), cloudq.TaskDefinitionError, "5 is no function", "decorate a def"),
    In(lambda: App("memory://").task(5), cloudq.TaskDefinitionError, "from a function or a name", "@app.task"),
    In(lambda: app.task(ok), cloudq.TaskDefinitionError, "is a task already", "__wrapped__"),
    In(lambda: sent(ok), cloudq.ConfigurationError, "takes an App, not Task", "task.app"),
    In(lambda: run_all(ok), cloudq.ConfigurationError, "takes an App, not Task", "task.app"),
    In(lambda: sent(App("memory://")), cloudq.ConfigurationError, "the app isn't in memory", "cloudq_app"),
    In(lambda: app.queue("a+b"), cloudq.OptionError, "is not the name of a queue", "letters, digits"),
    In(lambda: asyncio.run(app.asend(ok, x=1)), cloudq.OptionError, "a parameter of that name", "task.send(x=...)"),
]


def test_there_are_enough_mistakes():
    """A hundred at least, each once."""
    assert 100 <= len({(at.command, at.environment, at.project) for at in SHELL})
    assert 50 <= len(PYTHON)


@pytest.mark.cloudq_allow_real  # every one of these URLs is refused
@pytest.mark.parametrize("mistake", [*SHELL, *PYTHON], ids=lambda m: m.command if isinstance(m, At) else m.what)
def test_a_mistake_is_told_with_what_to_do(request, mistake, monkeypatch):
    """At the shell by exit code, a line what and a line what to do; in Python by class, code, text and hint."""
    if isinstance(mistake, At):
        code, what, hint = _at_the_shell(request, mistake, monkeypatch)
        what_to_find = mistake.what.format(Path.cwd())
        assert mistake.code == code
    else:
        what, hint, what_to_find = *_in_python(mistake), mistake.what
    assert what_to_find in what
    assert mistake.hint in hint
    assert "\n" not in what + hint


def _at_the_shell(request, mistake: At, monkeypatch) -> tuple[int, str, str]:
    folder = request.getfixturevalue("shop").path
    for name, text in {**FILES, "pyproject.toml": mistake.project}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "shop.py").write_text((folder / "shop.py").read_text() + "NUMBER = 5\n")
    if "other.db" in mistake.command:
        connection = sqlite3.connect(folder / "other.db")
        connection.execute("create table theirs (x)")
        connection.commit()
        connection.close()
    if mistake.environment:
        monkeypatch.setenv(*mistake.environment.split("=", 1))
    result = request.getfixturevalue("cli")(*mistake.command.split())
    assert "Traceback" not in result.err
    usage = re.search(r"Try '.*' for help\.", result.err)
    if usage:  # typer's own form, in a frame
        return result.code, " ".join(re.sub("[│╭╮╰╯─]", " ", result.err).split()), usage[0]
    lines = result.err.splitlines()
    [at] = [number for number, line in enumerate(lines) if line.startswith("cloudq: ")]
    assert lines[at + 1].startswith("  hint: ")
    return result.code, lines[at], lines[at + 1]


def _in_python(mistake: In) -> tuple[str, str]:
    with in_memory(app), pytest.raises(mistake.kind) as raised:
        mistake.call()
    error = raised.value
    assert mistake.kind is type(error)
    what, _, hint = str(error).partition("; hint: ")
    if isinstance(error, cloudq.CloudqError):
        assert (error.message, error.hint) == (what, hint)
        assert error.code
        assert exit_code(error) in {1, 2}
    return what, hint
