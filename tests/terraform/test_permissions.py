"""The policies of the AWS module are what the documentation says; test_recorded_run holds them against runs."""

from __future__ import annotations

import re

import pytest

from tests.terraform.iam import EVERY, KEY, actions_of_calls, allowed, documents, policies
from tests.terraform.workshop import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PAGE = ROOT / "docs/reference/backends.md"
STATS = "`cloudq stats`"
HANDLING = ("`cloudq dlq list`, `show` and `export`", "`cloudq dlq redrive` and `edit`", "`cloudq dlq purge --all`")
EMAILS = "arn:aws:sqs:eu-west-1:123456789012:emails"
LAMBDA = {"visibility_timeout_seconds": 60, "lambda": {"function_name": "emails", "function_timeout_seconds": 10}}
SCHEDULES = ["KeepLongDelays", "PassTheSchedulersRole"]
# An option, and the statements that it adds to each policy.
OPTIONS = {
    "scheduler": ({"scheduler": True}, {"producer": SCHEDULES, "worker": SCHEDULES}),
    "key": ({"kms_key_arn": KEY}, {"producer": ["UseTheKey"], "worker": ["UseTheKey"], "operator": ["UseTheKey"]}),
    "lambda": ({"queues": {"emails": LAMBDA}}, {"worker": ["LookForLambda"]}),
    "claim checks": (
        {"claim_check": {"bucket": "payloads"}},
        {"producer": ["StoreLargePayloads"], "worker": ["FetchLargePayloads", "KnowWhatIsMissing"]},
    ),
    "claim checks that are deleted": (
        {"claim_check": {"bucket": "payloads", "deletes": True}},
        {
            "producer": ["StoreLargePayloads"],
            "worker": ["FetchLargePayloads", "KnowWhatIsMissing", "DeleteLargePayloads"],
        },
    ),
    "a bucket's key": (
        {"claim_check": {"bucket": "payloads", "kms_key_arn": KEY}},
        {
            "producer": ["StoreLargePayloads", "UseTheBucketsKey"],
            "worker": ["FetchLargePayloads", "KnowWhatIsMissing", "UseTheBucketsKey"],
        },
    ),
    "table": ({"idempotency_table": {}}, {"worker": ["KeepKeys"], "operator": ["LookAtKeys"]}),
    "purging": ({"operators_may_purge": True}, {"operator": ["Purge"]}),
    "moving": ({"operators_may_move": True}, {"operator": ["Move"]}),
}


@pytest.fixture
def module(workshop):
    """An initialised copy of the module."""
    place = workshop.copy("aws-sqs")
    workshop.init(place)
    return place


def documented() -> dict[str, set[str]]:
    """The page's table: who, and the actions."""
    section = PAGE.read_text().partition("## Amazon SQS")[2].partition("### Permissions")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", section, flags=re.MULTILINE)
    return {who: {f"sqs:{action}" for action in re.findall(r"`(\w+)`", actions)} for who, actions in rows[1:]}


def actions(statements) -> set[str]:
    return {action for action, _ in allowed(statements)}


def test_base(workshop, module):
    """The policies of a minimal call have the documented actions, no more and no less, and are the page's documents."""
    table, found = documented(), policies(workshop, module)
    operator = table[STATS].union(*(table[row] for row in HANDLING))
    expected = {"producer": table["a producer"], "worker": table["a worker"], "operator": operator}
    assert {who: actions(statements) for who, statements in found.items()} == expected
    assert {who: document["Statement"] for who, document in documents().items()} == found


def test_documented_options(workshop, module):
    """Purging and moving add their documented actions."""
    table, base = documented(), actions(policies(workshop, module)["operator"])
    for option, row in (
        ("operators_may_purge", "`cloudq purge`"),
        ("operators_may_move", "`cloudq dlq redrive --all --by-service`"),
    ):
        assert actions(policies(workshop, module, **{option: True})["operator"]) == base | table[row]


@pytest.mark.parametrize("option", OPTIONS)
def test_option(workshop, module, option):
    """An option adds statements of its own to the policies that it is for, and leaves all others as they are."""
    variables, added = OPTIONS[option]
    base, found = policies(workshop, module), policies(workshop, module, **variables)
    for who, statements in found.items():
        assert [one for one in statements if one in base[who]] == base[who]
        assert [one["Sid"] for one in statements if one not in base[who]] == added.get(who, [])


def test_lambda(workshop, module):
    """The worker's policy has what Lambda's pollers need of the function's role, on its queue."""
    worker = allowed(policies(workshop, module, queues={"emails": LAMBDA})["worker"])
    pollers = {f"sqs:{action}" for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")}
    assert pollers == {action for action, on in worker if on == EMAILS} & pollers
    assert actions_of_calls()["ReceiveMessage"] == ["sqs:ReceiveMessage"]


def test_nothing_is_a_wildcard(workshop, module):
    """With all options, no action has a wildcard; a resource has one only at its end, below a name of the module's."""
    for statements in policies(workshop, module, **EVERY).values():
        for action, on in allowed(statements):
            assert "*" not in action
            assert on.count("*") == 0 or re.fullmatch(r"arn:aws:(s3:::payloads/|scheduler:.*:schedule/default/)\*", on)


def test_each_action_is_on_the_page(workshop, module):
    """What the policies allow is in the page's table, from a call to the action."""
    known = {action for of_call in actions_of_calls().values() for action in of_call}
    known |= {"kms:Decrypt", "kms:GenerateDataKey"}  # in the second table: no call of ours
    for statements in policies(workshop, module, **EVERY).values():
        assert actions(statements) <= known


def test_each_call_of_the_driver_is_on_the_page():
    """The page's table has every call that the SQS driver's source names."""
    source = "".join(path.read_text() for path in (ROOT / "cloudq/drivers/sqs").glob("*.py"))
    verbs = "get|send|receive|delete|change|create|purge|start|list|cancel"
    calls = {name.title().replace("_", "") for name in re.findall(rf'"((?:{verbs})_[a-z_]+)"', source)}
    assert len(calls) > 10
    assert calls <= set(actions_of_calls())
