"""`import cloudq` costs next to nothing, and the library needs nothing of the command line's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    *("boto3", "botocore", "google", "azure", "typer", "click", "rich", "starlette", "uvicorn", "sqlalchemy"),
    *("pydantic", "asyncio", "tenacity", "sqlite3", "filelock", "fsspec"),
}

pytestmark = pytest.mark.slow


def run(source: str, folder: Path) -> str:
    """What a fresh Python prints, in a folder of its own."""
    result = subprocess.run(
        [sys.executable, "-c", source], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert 0 == result.returncode, result.stderr
    return result.stdout.strip()


LOADED = f"import sys; print(sorted({HEAVY!r} & set(sys.modules)))"


DECLARE = "import cloudq\napp = cloudq.App({!r})\n@app.task('t')\ndef task(n: int = 1) -> None: ...\n"
# pytest, which the plugin needs, may load what it likes itself.
AFTER_PYTEST = f"import pytest, sys\nfor name in {HEAVY!r}: sys.modules.pop(name, None)\n"
LAMBDA = """
import cloudq, json
from cloudq.aws_lambda import handler
app = cloudq.App("sqs://eu-west-1")
app.task("t")(lambda n: None)
event = {"specversion": "1.0", "id": "1", "source": "/x", "type": "t", "data": {"n": 1}}
record = {"messageId": "1", "receiptHandle": "h", "body": json.dumps(event), "eventSource": "aws:sqs"}
record["eventSourceARN"] = "arn:aws:sqs:eu-west-1:123456789012:default"
assert handler(app)({"Records": [record]}) == {"batchItemFailures": []}
"""
FUNCTION = """
import cloudq, json
from types import SimpleNamespace
from cloudq.azure_functions import handler
app = cloudq.App("servicebus://example.servicebus.windows.net")
app.task("t")(lambda n: None)
event = {"specversion": "1.0", "id": "1", "source": "/x", "type": "t", "data": {"n": 1}}
message = SimpleNamespace(get_body=lambda: json.dumps(event), application_properties={}, user_properties={})
message.__dict__.update(message_id="1", session_id=None, delivery_count=1, locked_until=None)
message.lock_token = "6f1a4c6e-6e5f-4c53-9d6e-0d7a3d4f5a10"
handler(app, queue="orders")(message)
"""
SOURCES = {
    "import": "import cloudq",
    "import of the push edge": "import cloudq.push; cloudq.push.PushSettings",
    "all names": "import cloudq; [getattr(cloudq, name) for name in cloudq.__all__]",
    "declaring": DECLARE.format("sqlite:///q.db") + "task.call(2)",
    "sending": DECLARE.format("memory://") + "task.send(2)",
    "a Lambda batch that succeeds": LAMBDA,
    "a Function that succeeds": FUNCTION,
    "the pytest plugin": AFTER_PYTEST + "import cloudq.testing.plugin",
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_nothing_heavy_is_loaded(source, tmp_path):
    """No SDK, no command line, no server, no event loop, no tenacity: also while tasks are declared and sent."""
    assert "[]" == run(f"{source}\n{LOADED}", tmp_path)
    assert [] == list(tmp_path.iterdir()), "nor is a file made"


def test_the_import_of_cloudq_alone_loads_no_other_module_of_it(tmp_path):
    """Names are loaded at their first use; so is the pytest plugin's code, but what is asked before an opening."""
    ours = "import sys; print(sorted(name for name in sys.modules if name.startswith('cloudq')))"
    assert "['cloudq']" == run(f"import cloudq; {ours}", tmp_path)
    plugin = run(f"import cloudq.testing.plugin; {ours}", tmp_path)
    asked = "'cloudq.queues', 'cloudq.queues.before_opening'"
    assert f"['cloudq', {asked}, 'cloudq.testing', 'cloudq.testing.plugin']" == plugin


def cpu_of(source: str, folder: Path) -> float:
    """The least CPU time of several runs, in milliseconds: other processes' noise only adds."""
    timed = f"{source}\nimport time; print(time.process_time() * 1000)"
    return min(float(run(timed, folder)) for _ in range(7))


def test_the_import_costs_less_than_100_ms_of_cpu(tmp_path):
    """Over bare Python, in the same environment."""
    bare = cpu_of("", tmp_path)
    assert cpu_of("import cloudq", tmp_path) - bare < 100


BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"typer", "click", "rich", "shellingham"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
import cloudq
from cloudq.testing import in_memory, run_all, sent
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings

ran = []
for url in ("memory://", "sqlite:///q.db"):
    app = cloudq.App(url)

    @app.task(f"t {url}")
    def task(n: int) -> None:
        ran.append(n)

    @app.task(f"async {url}")
    async def asynchronous(n: int) -> None:
        ran.append(n)

    with in_memory(app):
        task.send(1)
        asynchronous.send(2)
        assert len(sent(app)) == 2
        run_all(app, raise_errors=True)
    with app.eager():
        task.send(3)
    task.send(4)
    asynchronous.send(5)
    assert Worker(app, WorkerSettings(burst=True)).run() == 0
    assert app.queue("default").stats().ready == 0
    app.close()
assert sorted(ran) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5], ran
assert not {"typer", "click", "rich"} & set(sys.modules)
print("works")
"""


def test_the_library_works_without_the_command_lines_packages(tmp_path):
    """Declaring, sending, a worker and the testing helpers, with typer and rich uninstalled."""
    assert run(BLOCKED, tmp_path).endswith("works")


SDKS = ("boto3", "botocore", "google", "grpc", "azure", "aiohttp", "starlette", "uvicorn", "sqlalchemy")
WITHOUT_SDKS = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {SDKS!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
sys.argv = ["cloudq", *sys.argv[1:]]
from cloudq.cli import main
sys.exit(main())
"""
SHOP = DECLARE.format("sqlite:///q.db").replace("'t'", "'t', queue='emails'")


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "version",
        "worker --burst",
        "tasks",
        "stats --app tasks",
        "send t {} --app tasks",
        "dlq list emails --app tasks",
        "explain option",
    ]
    + [f"terraform vars --cloud {cloud}" for cloud in ("aws", "google", "azure")],
)
def test_the_command_line_works_without_any_extra(tmp_path, arguments):
    """Where only the core is installed each command that needs no cloud works; so does what is written for one."""
    (tmp_path / "tasks.py").write_text(SHOP)
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_SDKS, *arguments.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == result.returncode, result.stderr
    assert result.stdout or result.stderr


def test_the_command_line_says_what_it_misses(tmp_path):
    """Without typer the command exits with a sentence, not with a traceback."""
    blocked = BLOCKED.partition("import cloudq\n")[0]
    source = f"{blocked}sys.argv = ['cloudq', 'version']\nfrom cloudq.cli import main\nsys.exit(main())"
    result = subprocess.run(
        [sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert 0 != result.returncode
    assert "Traceback" not in result.stderr
    assert "typer" in result.stderr
