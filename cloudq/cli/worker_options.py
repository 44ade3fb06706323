"""The options of `cloudq worker`: what it serves, how much at once, what it tells; and how they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Final

from cloudq.cli.options import queue_name
from cloudq.cli.parameters import Option
from cloudq.errors import ConfigurationError

if TYPE_CHECKING:
    from cloudq.running.logs import LogFormat

# A probe comes from outside of the container, so a bare port is served on all its addresses. The pages hold no data.
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - see above; HOST:PORT narrows it
_HIGHEST_PORT: Final = 65535

Queues = Annotated[
    list[str] | None,
    Option(
        "--queue",
        metavar="NAME[=WEIGHT]",
        help="Repeatable. With a weight of 5 a queue gets five turns to another's one. "
        "Default: every queue that the tasks declare.",
    ),
]
Strict = Annotated[bool, Option("--strict", help="Serve a queue only while those named before it are empty.")]
Concurrency = Annotated[
    int | None,
    Option("--concurrency", metavar="N", min=1, help="Tasks at once, in threads and coroutines. Default: 10."),
]
Processes = Annotated[
    int | None,
    Option("--processes", metavar="N", min=1, help="Run tasks in N child processes, one each: for work that computes."),
]
Burst = Annotated[bool, Option("--burst", help="End when no message is ready.")]
FailFast = Annotated[
    bool,
    Option(
        "--fail-fast",
        help="End with exit code 3 if a queue doesn't exist, or may not be received from, at the start. "
        "Default: wait until it can be.",
    ),
]
MaxTasks = Annotated[int | None, Option("--max-tasks", metavar="N", min=1, help="End after this many tasks.")]
Grace = Annotated[
    str, Option("--grace", metavar="SECONDS", help="How long running tasks may take to finish at the end.")
]
Lease = Annotated[
    str | None,
    Option(
        "--lease",
        metavar="SECONDS",
        help="How long a worker may be unreachable before another one gets its task. Default: 120.",
    ),
]
Wait = Annotated[
    str | None,
    Option(
        "--wait",
        metavar="SECONDS",
        help="How long a poll of an empty queue waits. Default: 8, or less with a short lease. On SQS an idle "
        "worker ends after this at the latest; shorter waits make more calls.",
    ),
]
Prefetch = Annotated[
    int | None,
    Option(
        "--prefetch", metavar="N", min=0, help="Messages of a queue that may wait in the worker. Default: measured."
    ),
]
Polls = Annotated[
    int | None,
    Option(
        "--polls",
        metavar="N",
        min=1,
        help="The most polls of a queue at once, where one brings less than is started. Default: 8. On SQS only.",
    ),
]
Health = Annotated[
    str | None,
    Option("--health", metavar="PORT|HOST:PORT", help="Serve /healthz and /readyz (PORT: on all addresses)."),
]
Metrics = Annotated[
    str | None,
    Option(
        "--metrics-port",
        metavar="PORT|HOST:PORT",
        help="Serve /metrics for Prometheus (PORT: on all addresses). Needs cloudq\\[prometheus].",
    ),
]
Reload = Annotated[
    bool, Option("--reload", help="For development: start anew when a Python file changes. Needs cloudq\\[reload].")
]
LogFormatName = Annotated[str, Option("--log-format", metavar="text|json", help="How to log to stderr.")]
LogSummary = Annotated[
    str | None,
    Option(
        "--log-summary",
        metavar="SECONDS",
        help="Sum up in a log line this often: rate, outcomes, p50 and p95 of the runs, the oldest message.",
    ),
]
LogLevel = Annotated[str, Option("--log-level", metavar="LEVEL", help="The least severe to show.")]


def address(text: str, option: str = "--health") -> tuple[str, int]:
    """The host and port in `8080`, `127.0.0.1:8080` or `[::1]:8080`.

    Args:
        text: What was given.
        option: For what.

    Raises:
        ConfigurationError: It is neither.
    """
    host, _, port = text.rpartition(":")
    if _whole(port) is None or int(port) > _HIGHEST_PORT:
        raise ConfigurationError(
            f"{option} {text!r} is no port to listen on", hint=f"{option} 8080, or {option} 127.0.0.1:8080"
        )
    return host.strip("[]") or EVERYWHERE, int(port)


def log_format_of(text: str) -> LogFormat:
    """The log format of that name.

    Raises:
        ConfigurationError: There is none.
    """
    known: Mapping[str, LogFormat] = {"text": "text", "json": "json"}
    if text not in known:
        raise ConfigurationError(f"there is no log format {text!r}", hint="--log-format text, or --log-format json")
    return known[text]


def weights(named: Sequence[str], *, strict: bool) -> Mapping[str, int]:
    """The queues, each with its weight, in `emails=5` or `emails`.

    Raises:
        OptionError: One is no queue's name.
        ConfigurationError: A weight is no whole number from 1, or `--strict` would ignore it; or one is given twice.
    """
    found: dict[str, int] = {}
    for text in named:
        name, equals, weight = text.partition("=")
        queue_name(name)
        if name in found:
            raise ConfigurationError(f"--queue {name!r} is given twice", hint="name each queue once")
        if equals and strict:
            raise ConfigurationError(
                f"--queue {text!r} has a weight, which --strict ignores", hint="leave out the weights, or --strict"
            )
        if equals and not _whole(weight):
            raise ConfigurationError(f"--queue {text!r}: a weight is a whole number from 1", hint=f"--queue {name}=5")
        found[name] = int(weight) if equals else 1
    return found


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
