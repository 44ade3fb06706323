"""What the module's policies allow, and what the page about IAM says: in a form that can be compared."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from tests.terraform.workshop import ROOT, Workshop

PAGE: Final = ROOT / "docs/reference/iam.md"
KEY: Final = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
# All options at once.
EVERY: Final = {
    "scheduler": True,
    "kms_key_arn": KEY,
    "claim_check": {"bucket": "payloads", "deletes": True, "kms_key_arn": KEY},
    "idempotency_table": {},
    "operators_may_purge": True,
    "operators_may_move": True,
}

Statements = list[dict[str, Any]]


def policies(workshop: Workshop, place: Path, **variables: object) -> dict[str, Statements]:
    """The statements of each policy in a plan, by whose they are.

    Args:
        workshop: Where the module is tried.
        place: An initialised copy of it.
        variables: Of the module.
    """
    planned = workshop.plan(place, {"queues": {"emails": {}}, **variables})["planned_values"]["root_module"]
    return {
        resource["index"]: json.loads(resource["values"]["policy"])["Statement"]
        for resource in planned["resources"]
        if resource["type"] == "aws_iam_policy"
    }


def allowed(statements: Iterable[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """Each action with each resource that it is allowed on."""
    return {
        (action, resource)
        for statement in statements
        for action in _many(statement["Action"])
        for resource in _many(statement["Resource"])
    }


def actions_of_calls() -> dict[str, list[str]]:
    """The page's first table: the actions by the call."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", PAGE.read_text(), flags=re.MULTILINE)
    return {call: re.findall(r"`([a-z0-9]+:\w+)`", actions) for call, actions in rows}


def documents() -> dict[str, Any]:
    """The page's documents, by whose they are."""
    found = re.findall(r'^```json title="(\w+)"\n(.*?)^```$', PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    return {who: json.loads(text) for who, text in found}


def _many(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
