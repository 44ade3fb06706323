"""How a sample is shown."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import msgspec
import pytest
from rich.console import Console

from cloudq.cli.top.rates import Rates
from cloudq.cli.top.sample import DeadNow, QueueNow, Sample
from cloudq.cli.top.view import as_json, drawn, sections
from cloudq.cli.top.workers import WorkerNow
from cloudq.core.inspection import QueueStats
from cloudq.errors import BackendUnavailable

STATS = QueueStats(ready=3, delayed=1, in_flight=2, dead=4, oldest_age=timedelta(seconds=75.5))


@pytest.fixture
def sample() -> Sample:
    return Sample(
        at=timedelta(seconds=10),
        queues=[
            QueueNow(name="emails", stats=STATS),
            QueueNow(name="reports", error=BackendUnavailable("no route\x1b[2J")),
        ],
        workers=[
            WorkerNow(address="w:1", ready=True, counts={"succeeded": 7, "running": 1, "waiting": 2, "settling": 0}),
            WorkerNow(
                address="w:2",
                ready=False,
                problems=["stopping", "queue emails: down"],
                counts={"running": 1},
                queues={"emails": "down", "reports": "paused"},
            ),
            WorkerNow(address="w:3", unreachable="refused"),
        ],
        dead=[DeadNow(queue="emails", task="shop.mail", error="ValueError", count=4)],
        unread=["reports"],
    )


def test_each_kind_is_a_table(sample: Sample) -> None:
    """A row a queue, a worker and a kind of dead letter; what can't be reached says why."""
    queues, workers, dead = sections(sample, Rates(None, sample))
    assert ("emails", 3, 1, 2, 4, "0:01:15", None, "") == queues.rows[0]
    assert ("reports", *[None] * 6, "BackendUnavailable: no route\x1b[2J") == queues.rows[1]
    assert ("w:1", "ready", 1, 2, 0, None, None, "") == workers.rows[0]
    assert (
        "w:2",
        "not ready",
        1,
        None,
        None,
        None,
        None,
        "stopping; queue emails: down; queue reports: paused",
    ) == workers.rows[1]
    assert ("w:3", "unreachable", *[None] * 5, "refused") == workers.rows[2]
    assert [(4, "shop.mail", "ValueError", "emails")] == dead.rows
    assert "reports; cloudq dlq list" in dead.note


def test_rates_are_shown_once_there_are_two_samples(sample: Sample) -> None:
    """Growth with its sign."""
    queue = QueueNow(name="emails", stats=msgspec.structs.replace(STATS, ready=13))
    worker = WorkerNow(address="w:1", ready=True, counts={"succeeded": 12})
    later = Sample(at=timedelta(seconds=12), queues=[queue], workers=[worker])
    queues, workers = sections(later, Rates(sample, later))
    assert "+5.0" == queues.rows[0][6]
    assert ("2.5", "0.0") == tuple(workers.rows[0][5:7])


def test_what_isnt_asked_for_isnt_shown() -> None:
    """No table of workers without one, none of dead letters while there are none."""
    sample = Sample(at=timedelta(0), queues=[QueueNow(name="emails", stats=STATS)])
    assert 1 == len(list(sections(sample, Rates(None, sample))))


def test_a_program_gets_objects(sample: Sample) -> None:
    """One a queue, a worker and a kind of dead letter, told apart by their first member."""
    emails, reports, worker, _, gone, dead = json.loads(json.dumps(list(as_json(sample))))
    assert {"queue": "emails", "ready": 3, "delayed": 1, "in_flight": 2, "dead": 4} == {
        name: emails[name] for name in ("queue", "ready", "delayed", "in_flight", "dead")
    }
    assert (75.5, None) == (emails["oldest_age_seconds"], emails["error"])
    assert (None, "backend-unavailable") == (reports["ready"], reports["error"])
    assert ("w:1", True, 7) == (worker["worker"], worker["ready"], worker["counts"]["succeeded"])
    assert ("w:3", "refused") == (gone["worker"], gone["unreachable"])
    assert {"dead_letters_of": "emails", "task": "shop.mail", "error": "ValueError", "count": 4} == dead


def test_nothing_of_it_steers_the_terminal(sample: Sample) -> None:
    """What a message or a worker says is a stranger's text."""
    out = io.StringIO()
    Console(file=out, width=200, force_terminal=False).print(
        drawn("cloudq top", list(sections(sample, Rates(None, sample))))
    )
    assert "\x1b" not in out.getvalue()
    assert r"no route\x1b[2J" in out.getvalue()
