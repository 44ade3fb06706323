"""A finding says what fixes it, with the names that are at hand."""

from __future__ import annotations

from cloudq.cli.doctor.fault import Fault, Finding, Fix, Severity, Where

FAULT = Fault(
    id="bad",
    severity=Severity.ERROR,
    what="it is bad",
    why="it gets worse",
    fixes={
        Where.SQS: Fix(command="""set {name} '{"to": "{dead}"}'""", terraform="value = {right}"),
        Where.STORE: Fix(command="fix it"),
    },
)


def test_what_is_at_hand_is_put_into_the_command():
    """Names and values; the braces of JSON stay as they are."""
    names = {"name": "prod-mail", "dead": "prod-mail-dlq", "right": "21"}
    finding = Finding(fault=FAULT, where=Where.SQS, what="it is 5", names=names)
    assert """set prod-mail '{"to": "prod-mail-dlq"}'""" == finding.command
    assert "value = 21" == finding.terraform


def test_there_may_be_no_line_of_terraform():
    """Where it makes no such thing."""
    finding = Finding(fault=FAULT, where=Where.STORE, what="it is 5")
    assert ("fix it", None) == (finding.command, finding.terraform)


def test_an_error_is_worse_than_a_warning():
    """By its rank, as `--fail-on` compares it."""
    assert Severity.ERROR.rank > Severity.WARNING.rank
