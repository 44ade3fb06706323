"""`cloudq dlq redrive --all --by-service`."""

from __future__ import annotations

import json
import sys
from datetime import timedelta

import pytest

from cloudq.cli import main
from cloudq.cli.dlq import moving as dead_letter_moving
from cloudq.core.driver import Outgoing
from cloudq.drivers import sqs as package
from cloudq.drivers.sqs import SQSDriver
from tests.unit.drivers.sqs.fakes import FakeSqs, client_error

# The services are faked behind their URLs: nothing is reached.
pytestmark = pytest.mark.cloudq_allow_real

COMMAND = ("dlq", "redrive", "emails", "--all", "--by-service")


class Service(FakeSqs):
    """An SQS whose task moves so many messages before each look at it."""

    def __init__(self, *queues: str) -> None:
        super().__init__(*queues)
        self.speed = 2
        self.interrupt_after: int | None = None

    def list_message_move_tasks(self, **given) -> dict:
        if self.tasks:
            self.move(self.speed)
            if self.tasks[-1]["ApproximateNumberOfMessagesMoved"] == self.interrupt_after:
                raise KeyboardInterrupt
        return super().list_message_move_tasks(**given)

    def count(self, queue: str) -> int:
        return len(self.queues[f"http://sqs.test/1/{queue}"])


@pytest.fixture
def service(folder, monkeypatch):
    """Five dead letters of the queue emails; polls don't wait."""
    fake = Service("emails", "emails-dlq", "orders.fifo", "orders-dlq.fifo")
    fake.sources.add("arn:aws:sqs:test:1:emails-dlq")
    SQSDriver("test", client=fake).send([Outgoing(id=str(n), queue="emails-dlq", body=b"{}") for n in range(5)])
    monkeypatch.setenv("CLOUDQ_URL", "sqs://eu-west-1")
    monkeypatch.setattr(package.driver, "open_client", lambda *_, **__: fake)
    monkeypatch.setattr(dead_letter_moving, "POLL", timedelta(0))
    return fake


def test_it_moves_all(cli, service):
    """To the end, without a bar where stderr is no terminal."""
    result = cli(*COMMAND, "--yes")
    assert (0, "moved about 5 dead letters of queue 'emails'\n", "") == result, result
    assert (5, 0) == (service.count("emails"), service.count("emails-dlq"))


def test_json(cli, service):
    """One line for a program."""
    result = cli(*COMMAND, "--yes", "--json")
    assert {"queue": "emails", "moved": 5, "state": "completed", "reason": None} == json.loads(result.out)
    assert (0, "") == (result.code, result.err)


def test_it_asks_with_its_limits(cli, service, person):
    """A person reads both limits and the number before anything is started; no starts nothing."""
    person("n\n")
    result = cli(*COMMAND)
    assert (1, "", []) == (result.code, result.out, service.tasks)
    assert "Have the service move all dead letters of queue 'emails' in sqs://eu-west-1 (about 5)?" in result.err
    assert "keeps its earlier attempts" in result.err
    assert "what dies again at once is moved again and again" in result.err
    person("y\n")
    assert 0 == cli(*COMMAND).code
    assert 5 == service.count("emails")


def test_off_a_terminal_it_needs_yes(cli, service):
    """Where nobody can be asked nothing is started."""
    assert (2, []) == (cli(*COMMAND).code, service.tasks)


def test_no_dead_letters(cli, service):
    """Nothing is asked or started."""
    service.queues["http://sqs.test/1/emails-dlq"].clear()
    assert (0, "moved about 0 dead letters of queue 'emails'\n", "") == cli(*COMMAND)
    assert [] == service.tasks


def test_without_a_dead_letter_queue(cli, service):
    """That there is none isn't taken for none being in it."""
    del service.queues["http://sqs.test/1/emails-dlq"]
    result = cli(*COMMAND, "--yes")
    assert (3, "") == (result.code, result.out)
    assert "there is no queue 'emails-dlq' on Amazon SQS" in result.err


def test_progress_on_a_terminal(service, monkeypatch, terminal):
    """A person sees a bar on stderr; stdout stays data."""
    monkeypatch.setenv("TERM", "xterm")
    stderr, stdout = terminal(), terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(sys, "stdout", stdout)
    assert 0 == main([*COMMAND, "--yes"])
    assert "moving" in stderr.getvalue()
    assert "moved about 5 dead letters of queue 'emails'\n" == stdout.getvalue()


def test_an_interruption_cancels(cli, service):
    """Ctrl-C ends the service's task too, and that is said."""
    service.interrupt_after = 2
    result = cli(*COMMAND, "--yes")
    assert (130, "", "CANCELLING") == (result.code, result.out, service.tasks[-1]["Status"])
    assert "the service was asked to stop; what was moved stays moved" in result.err


def test_looks_that_fail_for_a_while(cli, service, monkeypatch):
    """A look that is throttled is repeated; what fails for too long is cancelled rather than left unwatched."""
    failures = iter(range(dead_letter_moving.PATIENCE - 1))

    def fail(operation):
        watched = operation == "ListMessageMoveTasks" and service.tasks
        return client_error("RequestThrottled") if watched and next(failures, None) is not None else None

    service.fail = fail
    assert 0 == cli(*COMMAND, "--yes").code
    service.queues["http://sqs.test/1/emails-dlq"] += service.queues["http://sqs.test/1/emails"]
    service.tasks.clear()
    failures, service.speed = iter(range(1_000)), 0
    assert (3, "CANCELLING") == (cli(*COMMAND, "--yes").code, service.tasks[-1]["Status"])


def test_a_move_that_can_not_be_cancelled(cli, service):
    """That it goes on is said."""
    service.interrupt_after = 2
    service.fail = lambda operation: client_error("AccessDenied") if operation == "CancelMessageMoveTask" else None
    result = cli(*COMMAND, "--yes")
    assert 130 == result.code
    assert "could not be cancelled and goes on at the service" in result.err


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ({"Status": "FAILED", "FailureReason": "KmsDenied"}, "error: the move failed: KmsDenied"),
        ({"Status": "CANCELLED"}, "the move was cancelled elsewhere"),
    ],
)
def test_a_move_that_does_not_complete(cli, service, monkeypatch, end, said):
    """Exit code 1, and why."""
    monkeypatch.setattr(service, "move", lambda count: service.tasks[-1].update(end))
    result = cli(*COMMAND, "--yes", "--json")
    assert (1, end["Status"].lower()) == (result.code, json.loads(result.out)["state"])
    assert said in result.err


def test_what_goes_in_a_circle_is_noticed(cli, service, monkeypatch):
    """Once more were moved than there were, that is said, once."""
    ends = iter(["RUNNING", "RUNNING", "RUNNING", "COMPLETED"])

    def circle(count):
        task = service.tasks[-1]
        task["Status"] = next(ends)
        task["ApproximateNumberOfMessagesMoved"] += 4

    monkeypatch.setattr(service, "move", circle)
    result = cli(*COMMAND, "--yes")
    assert (0, "moved about 16 dead letters of queue 'emails'\n") == result[:2]
    assert "8 were moved, of 5 at the start: perhaps some die again and are moved again\n" == result.err


@pytest.mark.parametrize("arguments", [("17",), ("17", "--all"), ("--all", "--limit", "3"), ()])
def test_it_is_for_all(cli, service, arguments):
    """Not for chosen ones, nor for so many: the service has no such choice."""
    result = cli("dlq", "redrive", "emails", *arguments, "--by-service", "--yes")
    assert (2, []) == (result.code, service.tasks)
    assert "hint: cloudq dlq redrive emails --all --by-service" in result.err


def test_an_ordered_queue_is_refused(cli, service):
    """Unasked, naming the redrive that it has."""
    result = cli("dlq", "redrive", "orders.fifo", "--all", "--by-service")
    assert (2, []) == (result.code, service.tasks)
    assert "cloudq dlq redrive orders.fifo --all" in result.err


def test_other_backends_refuse(cli, folder):
    """SQLite has no such move; the plain redrive is named."""
    result = cli(*COMMAND)
    assert 2 == result.code
    assert "this backend has no such move" in result.err
    assert "cloudq dlq redrive emails --all" in result.err


def test_a_queue_without_a_redrive_policy(cli, service):
    """A setting is missing, so 2."""
    service.sources.clear()
    result = cli(*COMMAND, "--yes")
    assert 2 == result.code
    assert "redrive policy" in result.err
