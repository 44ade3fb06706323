"""`cloudq check-idempotency`: which checks it runs, what it says, and its exit codes."""

from __future__ import annotations

import json

import pytest

CHECKS = """
import cloudq
from cloudq.testing import redelivery

app = cloudq.App()
charges, marks = [], set()

@app.task
def charge(order_id: int) -> None:
    print("charging")
    charges.append(order_id)

@app.task
def mark(order_id: int) -> None:
    marks.add(order_id)

@app.task
def unchecked() -> None: ...

charging = redelivery.Check(charge.call(order_id=1), state=lambda: list(charges), reset=charges.clear)
marking = redelivery.Check(mark.call(order_id=1), state=lambda: set(marks), reset=marks.clear)
"""


@pytest.fixture
def checks(folder):
    """The folder with `checks.py`."""
    (folder.path / "checks.py").write_text(CHECKS)
    return folder


def test_a_difference_is_exit_code_1(cli, checks):
    """The finding is stdout's data; what the task prints isn't."""
    result = cli("check-idempotency", "checks:charging")
    assert 1 == result.code
    assert result.out.startswith("checks:charging: checks.charge has another effect if it is delivered twice\n")
    assert "expected: [1]\n" in result.out
    assert "seed:     0\n" in result.out
    assert "charging\n" not in result.out
    assert "charging\n" in result.err


def test_no_difference_is_exit_code_0(cli, checks):
    """Said in a line."""
    result = cli("check-idempotency", "checks:marking", "--seeds", "20")
    assert (0, "checks:marking: no difference in 20 schedules\n") == (result.code, result.out)


def test_a_seed_is_tried_alone(cli, checks):
    """To see a finding again, and whether it is gone."""
    assert 1 == cli("check-idempotency", "checks:charging", "--seed", "0").code
    result = cli("check-idempotency", "checks:marking", "--seed", "7")
    assert (0, "checks:marking: no difference in 1 schedule\n") == (result.code, result.out)


def test_a_task_stands_for_its_checks(cli, checks):
    """By the name that it has in the same module."""
    result = cli("check-idempotency", "checks:mark", "--seeds", "2")
    assert (0, "checks:marking: no difference in 2 schedules\n") == (result.code, result.out)


def test_a_module_stands_for_all_of_its_checks(cli, checks):
    """All are tried; one difference is enough for exit code 1."""
    result = cli("check-idempotency", "checks", "--seeds", "2", "--json")
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert 1 == result.code
    assert ["checks:charging", "checks:marking"] == [line["check"] for line in lines]
    found = lines[0].pop("found")
    assert {"check": "checks:charging", "tasks": ["checks.charge"], "tried": 2} == lines[0]
    assert ("checks.charge", "duplicate", None, 0, "[1]", "[1, 1]", True) == tuple(
        found[name] for name in ("task", "fault", "point", "seed", "expected", "state", "steady")
    )
    assert 2 == len(found["events"])
    assert lines[1]["found"] is None


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("checks:nothing", "the module has nothing of that name"),
        ("checks:charges", "neither a check nor a task: it is a list"),
        ("checks:unchecked", "no check of the task 'checks.unchecked'"),
        ("nowhere", "there is no module 'nowhere'"),
        ("json", "json has no check"),
    ],
)
def test_what_is_no_check_is_exit_code_2(cli, checks, target, why):
    """With a hint that shows how to declare one."""
    result = cli("check-idempotency", target)
    assert (2, "") == (result.code, result.out)
    assert why in result.err


def test_a_check_that_compares_nothing_is_exit_code_2(cli, checks):
    """A state that differs by itself is a fault of the check."""
    text = CHECKS.replace("state=lambda: set(marks)", "state=object")
    (checks.path / "checks.py").write_text(text)
    result = cli("check-idempotency", "checks:marking")
    assert 2 == result.code
    assert "the state differs though everything was delivered once" in result.err
