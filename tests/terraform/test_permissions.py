"""The SQS policies have the permissions that the documentation names; tests/chaos holds those against runs."""

from __future__ import annotations

import json
import re

import pytest

from tests.terraform.workshop import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PAGE = ROOT / "docs/reference/backends.md"
STATS = "`cloudq stats`"
HANDLING = ("`cloudq dlq list` and `show`", "`cloudq dlq redrive`", "`cloudq dlq purge --all`")


def documented() -> dict[str, set[str]]:
    """The page's table: who, and the actions."""
    section = PAGE.read_text().partition("## Amazon SQS")[2].partition("### Permissions")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", section, flags=re.MULTILINE)
    return {who: {f"sqs:{action}" for action in re.findall(r"`(\w+)`", actions)} for who, actions in rows[1:]}


def policies(workshop, **variables: object) -> dict[str, set[str]]:
    """The actions of each policy in a plan."""
    place = workshop.copy("aws-sqs")
    workshop.init(place)
    planned = workshop.plan(place, {"queues": {"emails": {}}, **variables})["planned_values"]["root_module"]
    found = {}
    for resource in planned["resources"]:
        if resource["type"] == "aws_iam_policy":
            statements = json.loads(resource["values"]["policy"])["Statement"]
            actions = [statement["Action"] for statement in statements]
            found[resource["index"]] = {one for each in actions for one in ([each] if isinstance(each, str) else each)}
    return found


def test_base(workshop):
    """The policies of a minimal call have the documented actions, no more and no less."""
    table = documented()
    operator = table[STATS].union(*(table[row] for row in HANDLING))
    assert policies(workshop) == {"producer": table["a producer"], "worker": table["a worker"], "operator": operator}


def test_options(workshop):
    """Purging and moving add their documented actions to the operator's policy, and nothing to the others."""
    table, base = documented(), policies(workshop)
    purging = policies(workshop, operators_may_purge=True)
    assert purging == base | {"operator": base["operator"] | table["`cloudq purge`"]}
    moving = policies(workshop, operators_may_move=True)
    assert moving == base | {"operator": base["operator"] | table["`cloudq dlq redrive --all --by-service`"]}
