"""`cloudq doctor`: what it says to people and to programs, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from cloudq.cli.doctor.catalogue import FAULTS
from cloudq.cli.doctor.fault import Severity, Where
from cloudq.cli.doctor.looks_at_aws import Amazon
from cloudq.drivers.sqs import SQSDriver
from cloudq.errors import BackendUnavailable, PermissionDenied
from tests.unit.drivers.sqs.fakes import FakeSqs, client_error

# The service is faked behind its URL: nothing is reached.
pytestmark = pytest.mark.cloudq_allow_real

SCHEMA = json.loads((Path(__file__).parents[4] / "docs/reference/doctor.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def sqs(monkeypatch, shop):
    """An SQS with the queues of shop.py as cloudq makes them; nothing is around it, nor known of packages."""
    client = FakeSqs()
    monkeypatch.setattr(
        "cloudq.drivers.sqs.url.open_url", lambda url, clock: SQSDriver(url.host, client=client, clock=clock)
    )
    monkeypatch.setattr(Amazon, "findings", lambda *_: iter(()))
    monkeypatch.setattr(Amazon, "oldest_age", lambda *_: None)
    monkeypatch.setattr("cloudq.cli.doctor.command.installed_version", lambda _: None)
    for variable in ("CLOUDQ_OUTBOX_URL", "CLOUDQ_STORE_URL"):
        monkeypatch.delenv(variable, raising=False)
    driver = SQSDriver("test", client=client)
    for queue in ("emails", "default"):
        driver.make_queue(queue)
    for name, attributes in client.attributes.items():
        attributes["SqsManagedSseEnabled"] = "true"
        if not name.endswith("-dlq"):
            attributes["VisibilityTimeout"] = "300"
    return client


def doctor(cli, *arguments):
    return cli("doctor", "--app", "shop", "--backend", "sqs://test", *arguments)


def test_nothing_is_wrong(cli, sqs):
    """It says what it looked at."""
    assert (0, "0 errors, 0 warnings; looked at emails, default\n", "") == doctor(cli)


def test_what_is_wrong_is_said_with_what_mends_it(cli, sqs):
    """The worst first; the exit code is 1."""
    sqs.attributes["emails"] |= {"DelaySeconds": "60", "RedrivePolicy": "?"}
    result = doctor(cli)
    lines = result.out.splitlines()
    assert (1, "error: redrive-missing of queue emails (Amazon SQS)") == (result.code, lines[0])
    assert "  it has no RedrivePolicy: a message that kills its worker goes round forever" == lines[1]
    assert lines[2].startswith("  why: ")
    assert lines[3].startswith("  fix: aws sqs set-queue-attributes --queue-url ")
    assert lines[4].startswith("  terraform: redrive_policy = ")
    assert "warning: queue-delays of queue emails (Amazon SQS)" in lines
    assert "1 error, 1 warning; looked at emails, default" == lines[-1]


@pytest.mark.parametrize(("fail_on", "code"), [(None, 0), ("error", 0), ("warning", 1)])
def test_from_which_severity_on_it_fails(cli, sqs, fail_on, code):
    """A warning is no failure unless it is said to be one."""
    sqs.attributes["emails"]["DelaySeconds"] = "60"
    assert code == doctor(cli, *([] if fail_on is None else ["--fail-on", fail_on])).code


def test_json(cli, sqs, monkeypatch):
    """An object a line, by the schema; the summary comes last."""
    sqs.attributes["emails"]["RedrivePolicy"] = "?"

    def denied(*_: object) -> object:
        raise BackendUnavailable("gone")

    monkeypatch.setattr(SQSDriver, "missing_permissions", lambda *_, **__: denied())
    result = doctor(cli, "--json")
    objects = [json.loads(line) for line in result.out.splitlines()]
    for one in objects:
        jsonschema.validate(one, SCHEMA)
    finding, *unchecked, summary = objects
    assert ("finding", "redrive-missing", "emails") == (finding["kind"], finding["fault"], finding["queue"])
    assert ["unchecked", "unchecked"] == [one["kind"] for one in unchecked]
    counts = {"errors": 1, "warnings": 0, "unchecked": 2}
    assert {"kind": "summary", "queues": ["emails", "default"], **counts} == summary
    assert 1 == result.code


def test_the_schema_knows_every_fault():
    """And every place and severity: none is ever written that it doesn't allow."""
    properties = next(one for one in SCHEMA["oneOf"] if one["properties"]["kind"]["const"] == "finding")["properties"]
    assert sorted(FAULTS) == properties["fault"]["enum"]
    assert [str(one) for one in Severity] == properties["severity"]["enum"]
    assert [str(one) for one in Where] == properties["where"]["enum"]


def test_what_could_not_be_looked_at_is_said(cli, sqs, monkeypatch):
    """On stderr: it is no finding."""
    monkeypatch.setattr(
        SQSDriver, "missing_permissions", lambda *_, **__: (_ for _ in ()).throw(PermissionDenied("no"))
    )
    result = doctor(cli, "emails")
    assert 0 == result.code
    assert "note: not checked: the permissions for queue 'emails': no" in result.err


@pytest.mark.parametrize(("role", "works"), [(None, True), ("worker", True), ("producer", False)])
def test_whose_permissions(cli, sqs, monkeypatch, role, works):
    """A worker's, unless it is told otherwise."""
    asked = []
    monkeypatch.setattr(SQSDriver, "missing_permissions", lambda *_, works: asked.append(works) or [])
    assert 0 == doctor(cli, *([] if role is None else ["--role", role])).code
    assert {works} == set(asked)


def test_queues_that_are_named_need_no_app(cli, sqs):
    """Then only what holds for every task is looked at, and that is said."""
    sqs.attributes["emails"]["VisibilityTimeout"] = "30"
    result = cli("doctor", "emails", "--backend", "sqs://test")
    assert (0, "0 errors, 0 warnings; looked at emails\n") == result[:2]
    assert "without --app nothing is known of the tasks" in result.err


def test_a_backend_that_can_not_be_asked(cli, sqs):
    """Exit code 3, as of any command."""
    sqs.fail = lambda operation: client_error("AccessDenied", status=403)
    assert 3 == doctor(cli).code


def test_looking_leaves_no_file_behind(cli, shop, monkeypatch):
    """Where nothing was ever stored there is nothing wrong."""
    monkeypatch.setattr("cloudq.cli.doctor.command.installed_version", lambda _: None)
    result = cli("doctor", "--app", "shop")
    assert (0, "0 errors, 0 warnings; looked at emails, default\n") == result[:2]
    assert [] == list(shop.path.glob("*.db*"))


def test_without_tasks_there_is_nothing_to_hold_it_against(cli, folder):
    """It says how to name an app, or a queue."""
    assert 2 == cli("doctor").code
