"""parliament has nothing to say of the policies, checkov nothing of the modules but what is reasoned beside it."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest

from tests.terraform.iam import EVERY
from tests.terraform.tools import tool
from tests.terraform.workshop import MODULES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SKIP = re.compile(r"# checkov:skip=(CKV\w+): (\S.+)")
# checkov has no checks of Cloud Tasks.
SCANNED = ("aws-sqs", "azure-service-bus")


def parliament(document: str) -> list[dict[str, object]]:
    """What parliament finds in a policy of an identity."""
    command = [tool("parliament"), "--string", document, "--json", "--minimum_severity", "INFO"]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode == bool(found), ended.stderr
    return found


def checkov(*arguments: str) -> dict[str, list[dict[str, str]]]:
    """What checkov finds, and what it passes: offline."""
    command = [tool("checkov"), *arguments, "--skip-download", "--output", "json"]
    # With a key in the environment it would send what it sees to its vendor.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BC_", "PRISMA_", "CKV_"))}
    ended = subprocess.run(command, env=kept, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode in {0, 1}, ended.stderr
    results: dict[str, list[dict[str, str]]] = json.loads(ended.stdout)["results"]
    assert results["passed_checks"]
    assert not results["parsing_errors"]
    return results


def failed(results: dict[str, list[dict[str, str]]]) -> set[str]:
    return {one["check_id"] for one in results["failed_checks"]}


def exceptions(module: str) -> dict[str, str]:
    """What the module's files except, with the reasons."""
    return dict(SKIP.findall("".join(path.read_text() for path in (MODULES / module).glob("*.tf"))))


@pytest.fixture
def documents(workshop):
    """All policies of identities that the module makes with all its options."""
    place = workshop.copy("aws-sqs")
    workshop.init(place)
    queues = {"emails": {"visibility_timeout_seconds": 60}, "orders.fifo": {}}
    queues["emails"]["lambda"] = {"function_name": "emails", "function_timeout_seconds": 10}
    planned = workshop.plan(place, {"queues": queues, **EVERY})["planned_values"]["root_module"]["resources"]
    return [one["values"]["policy"] for one in planned if one["type"] in {"aws_iam_policy", "aws_iam_role_policy"}]


def test_parliament(documents):
    """Every action exists, and every resource is one that its action takes."""
    assert len(documents) == 4
    assert [parliament(document) for document in documents] == [[]] * 4


@pytest.mark.parametrize(
    ("right", "wrong", "issue"),
    [
        ('"sqs:SendMessage"', '"sqs:SendMessageBatch"', "UNKNOWN_ACTION"),
        ("s3:::payloads/*", "s3:::payloads", "RESOURCE_MISMATCH"),
        ("kms:GenerateDataKey", "kms:*", "RESOURCE_STAR"),
    ],
)
def test_parliament_looks(documents, right, wrong, issue):
    """A fault in a policy is found."""
    spoilt = documents[1].replace(right, wrong)
    if issue == "RESOURCE_STAR":
        spoilt = re.sub(r'"Resource":"arn:aws:kms[^"]+"', '"Resource":"*"', spoilt)
    assert spoilt != documents[1]
    assert issue in {one["issue"] for one in parliament(spoilt)}


@pytest.mark.parametrize("module", SCANNED)
def test_sources(module):
    """No check of a module's source or of its examples fails, but those that are excepted in it."""
    assert failed(checkov("--directory", str(MODULES / module), "--framework", "terraform")) == set()


@pytest.mark.parametrize("module", SCANNED)
def test_plans(workshop, tmp_path, module):
    """The same of the examples' plans, where all values are known; each exception is needed there."""
    for example in ("minimal", "complete"):
        place = workshop.copy(module) / "examples" / example
        workshop.init(place)
        (tmp_path / f"{example}.json").write_text(json.dumps(workshop.plan(place)))
    assert failed(checkov("--directory", str(tmp_path), "--framework", "terraform_plan")) == set(exceptions(module))


def test_checkov_looks(workshop, tmp_path):
    """A queue without encryption is found."""
    place = workshop.copy("aws-sqs")
    text = (place / "main.tf").read_text()
    (place / "main.tf").write_text(text.replace("== null ? true : null", "== null ? false : null"))
    workshop.init(place)
    (tmp_path / "plan.json").write_text(json.dumps(workshop.plan(place, {"queues": {"emails": {}}})))
    assert "CKV_AWS_27" in failed(checkov("--directory", str(tmp_path), "--framework", "terraform_plan"))
