"""The catalogue is whole: each fault says all that a person needs, is found by a test, and stands on the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cloudq.cli.doctor import faults_around, faults_of_dead_letters, faults_of_handing_over, faults_of_queues
from cloudq.cli.doctor.catalogue import FAULTS
from cloudq.cli.doctor.fault import Fault, Where

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs/reference/doctor.md"
SERVICES = {Where.SQS, Where.LAMBDA, Where.CLOUD_TASKS, Where.SERVICE_BUS, Where.FUNCTIONS}


def row(fault: Fault) -> str:
    """A fault's row of the page's table."""
    where = ", ".join(fault.fixes)
    return f"| `{fault.id}` | {fault.severity} | {fault.what} | {fault.why} | {where} |"


def fixes(fault: Fault) -> list[str]:
    """What fixes it, as the page's second part lists it."""
    lines = []
    for where, fix in fault.fixes.items():
        terraform = f"; Terraform: `{fix.terraform}`" if fix.terraform else ""
        lines.append(f"- {where}: `{fix.command}`{terraform}")
    return lines


def test_ids_are_unique_words():
    """None is lost by having the id of another."""
    modules = (faults_of_queues, faults_of_dead_letters, faults_of_handing_over, faults_around)
    assert sum(len(module.FAULTS) for module in modules) == len(FAULTS)
    assert len(FAULTS) >= 25
    assert [] == [one for one in FAULTS if not re.fullmatch(r"[a-z]+(-[a-z]+)*", one)]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_says_what_it_is_and_what_mends_it(fault):
    """In a sentence each; and what it says of a service, with a document and when that was read."""
    assert fault.what
    assert fault.why
    assert fault.fixes
    assert not fault.what.endswith(".")
    if SERVICES & set(fault.fixes) and not fault.id.endswith("missing"):
        assert re.search(r"20\d\d-\d\d", fault.source), "a fact of a service has a source and a date"


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_stands_on_the_page(fault):
    """As it is in the code: one table, in two places."""
    page = PAGE.read_text(encoding="utf-8")
    assert row(fault) in page
    for line in fixes(fault):
        assert line in page


def test_the_page_has_no_other_faults():
    """What the code doesn't find it doesn't name."""
    assert set(FAULTS) == set(re.findall(r"^\| `([a-z-]+)` \| (?:error|warning) \|", PAGE.read_text(), re.MULTILINE))


# What only a plan tells: a queue doesn't say which service it pushes to. See test_plan_faults.py.
PLANNED = {"request-timeout"}


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - PLANNED))
def test_a_fault_is_planted_somewhere(fault):
    """Each is found by a test that plants it."""
    folders = (ROOT / "tests/unit/cli/doctor", ROOT / "tests/integration/doctor", ROOT / "tests/unit/cli")
    texts = [path.read_text() for folder in folders for path in folder.glob("test_*.py") if path != Path(__file__)]
    assert any(f'"{fault}"' in text for text in texts)
