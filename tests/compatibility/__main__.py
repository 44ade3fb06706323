"""Runs cloudq with what people run around it, and writes what came of it: `make compatibility`.

    python -m tests.compatibility --write docs/reference/compatibility.md [--only ddtrace]

The programs are in `programs/`, and run in the environment that the Makefile makes. A row whose check fails ends the
run with exit code 1, and the page stays as it was. Traffic is to this machine only.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from localstack.start import CREDENTIALS, LocalStack
from tests.compatibility import checks, places
from tests.compatibility.checks import Check, exercise, forks, full_batches, green, neighbours, powertools, served
from tests.compatibility.environment import FOLDER, PROGRAMS, command, run

BEGIN: Final = "<!-- compatibility:begin -->"
END: Final = "<!-- compatibility:end -->"
COLUMNS: Final = ("SQS", "SQLite", "full batches on SQS")
LATE: Final = "A visibility that is changed after a message's time is over is taken, and changes nothing."
ELEVEN: Final = "A message with eleven attributes is taken; SQS takes ten."
NEVER: Final = "EventBridge Scheduler takes a schedule and doesn't carry it out (waited for 75 s)."
GEVENT_FIRST: Final = "from gevent import monkey; monkey.patch_all()\n"


class Row(NamedTuple):
    """A row of the table: what is named so, of which versions, and what is run for each column that has a cell."""

    name: str
    packages: Sequence[str]
    checks: Mapping[str, Check]


def rows() -> Iterator[Row]:
    yield Row("boto3 alone", ("boto3",), _traced("", sqlite=True))
    for tracer, name, packages, sqlite in (
        ("ddtrace", "ddtrace, patched", ("ddtrace",), True),
        ("ddtrace-streams", "ddtrace with Data Streams", ("ddtrace",), False),
        ("otel-boto3sqs", "OpenTelemetry, boto3sqs", ("opentelemetry-instrumentation-boto3sqs",), False),
        ("otel-botocore", "OpenTelemetry, botocore", ("opentelemetry-instrumentation-botocore",), False),
        ("sentry", "Sentry with tracing", ("sentry-sdk",), True),
        ("xray", "X-Ray, botocore and sqlite3", ("aws-xray-sdk",), True),
    ):
        yield Row(name, packages, _traced(tracer, sqlite=sqlite))
    yield Row(
        "OpenTelemetry, sqlite3",
        ("opentelemetry-instrumentation-sqlite3",),
        {"SQLite": exercise("otel-sqlite3")},
    )
    yield from _servers()
    yield Row("multiprocessing: fork, spawn, forkserver", ("python",), {"SQS": forks, "SQLite": forks})
    for library in ("gevent", "eventlet"):
        yield Row(f"{library}, patched first", (library,), {"SQS": green(library), "SQLite": green(library)})
    yield Row("Lambda Powertools", ("aws-lambda-powertools",), {"SQS": powertools})
    yield Row("moto's server in the place of SQS", ("moto",), {"SQS": exercise("")})
    if (FOLDER / "node/node_modules").exists():
        yield Row("npm sqs-consumer and sqs-producer", ("sqs-consumer", "sqs-producer"), {"SQS": neighbours})


def _traced(tracer: str, *, sqlite: bool) -> dict[str, Check]:
    found = {"SQS": exercise(tracer), "full batches on SQS": full_batches(tracer)}
    return found | ({"SQLite": exercise(tracer)} if sqlite else {})


def _servers() -> Iterator[Row]:
    bind = ("-b", "127.0.0.1:PORT", "--no-control-socket", "-w", "2", "-c", "conf.py", "web:wsgi")
    for kind in ("sync", "gthread", "gevent"):
        packages = ("gunicorn", "gevent") if kind == "gevent" else ("gunicorn",)
        for preload in (False, True):
            for early in (False, True):
                name = f"gunicorn {kind}{', preload' * preload}{', sent at import' * early}"
                words = ("gunicorn", "-k", kind, *(("--preload",) if preload else ()), *bind)
                yield _served(name, packages, *words, early=(1 if preload else 2) * early)
    words = ("gunicorn", "-k", "gevent", "--preload", *bind)
    name = "gunicorn gevent, preload, sent at import, patched in its configuration"
    yield _served(name, ("gunicorn", "gevent"), *words, early=1, configuration=GEVENT_FIRST)
    uvicorn = ("uvicorn", "--workers", "2", "--port", "PORT", "web:asgi")
    uwsgi = ("uwsgi", "--http", "127.0.0.1:PORT", "--module", "web:wsgi", "--virtualenv", str(FOLDER), "--die-on-term")
    uwsgi = (*uwsgi, "--master", "--processes", "2", "--enable-threads")
    for early in (False, True):
        tail = ", sent at import" * early
        yield _served(f"uvicorn, 2 workers{tail}", ("uvicorn",), *uvicorn, early=2 * early)
        yield _served(f"uwsgi, 2 processes{tail}", ("uwsgi",), *uwsgi, early=1 * early)
        yield _served(f"uwsgi, lazy-apps{tail}", ("uwsgi",), *uwsgi, "--lazy-apps", early=2 * early)


def _served(name: str, packages: Sequence[str], *words: str, early: int, configuration: str = "") -> Row:
    check = served(*words, early=early, configuration=configuration)
    return Row(name, packages, {"SQS": check, "SQLite": check})


def versions() -> dict[str, str]:
    """What is installed, by name."""
    listed = subprocess.run(
        [Path(sys.executable).parent / "uv", "pip", "list", "--format", "json", "--python", command()],
        capture_output=True,
        text=True,
        check=True,
    )
    found = {one["name"]: one["version"] for one in json.loads(listed.stdout)}
    npm = json.loads((PROGRAMS / "package.json").read_text())["dependencies"]
    return found | npm | {"python": platform.python_version()}  # the environment has this interpreter


def install_neighbours() -> None:
    """npm's packages, where there is an npm; else their row is left out."""
    if shutil.which("npm") is None:
        return
    folder = FOLDER / "node"
    folder.mkdir(exist_ok=True)
    for name in ("package.json", "neighbours.mjs"):
        shutil.copy(PROGRAMS / name, folder)
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=True)


@contextmanager
def moto() -> Iterator[str]:
    """A server of moto's; its URL."""
    port = checks.free_port()
    with tempfile.TemporaryFile() as log:
        words = [command("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            checks.wait_until(lambda: checks.listens(port))
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(20)


def differences(endpoint: str) -> list[str]:
    """Where LocalStack isn't as SQS's documentation says, as sentences."""
    ran = run("localstack_differs.py", endpoint)
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    holds = {
        LATE: seen["late change"] == "taken" and seen["visible after it"],
        ELEVEN: seen["eleven attributes"] == "taken",
        NEVER: not seen["a schedule that is due sends"],
    }
    return [sentence for sentence, held in holds.items() if held]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", type=Path, help="the page; without, the table is printed")
    parser.add_argument("--only", default="", help="the rows whose name holds this")
    given = parser.parse_args(arguments)
    install_neighbours()
    known = versions()
    table = ["| with | version | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 2) + "|"]
    failed = 0
    with (
        tempfile.TemporaryDirectory() as name,
        LocalStack(services="sqs,scheduler") as localstack,
        moto() as other,
    ):
        folder = Path(name)
        for row in rows():
            if given.only not in row.name:
                continue
            sqs = partial(places.sqs, folder, other if row.name.startswith("moto") else localstack.url, CREDENTIALS)
            makes = {"SQS": sqs, "full batches on SQS": sqs, "SQLite": partial(places.sqlite, folder)}
            began = time.monotonic()
            try:
                said = [row.checks[column](makes[column]()) if column in row.checks else "" for column in COLUMNS]
            except Exception as error:
                failed += 1
                print(f"FAILED: {row.name}: {error}", file=sys.stderr)
                continue
            version = ", ".join(known[package] for package in row.packages)
            table.append(" | ".join([f"| {row.name}", version, *said]) + " |")
            print(f"{time.monotonic() - began:5.1f} s  {row.name}: {said}", file=sys.stderr)
        found = [] if given.only else differences(localstack.url)
        table += ["", *(f"- {sentence}" for sentence in found)]
    text = "\n".join([BEGIN, "", *table, "", END])
    if given.write is None or failed or given.only:
        print(text)
        return 1 if failed else 0
    page = given.write.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    given.write.write_text(before + text + rest.split(END)[1], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
