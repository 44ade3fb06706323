"""The AWS module with the real provider, where a mirror of it is at hand: TF_MIRROR names the folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import boto3
import pytest

from tests.moto_server import moto_server
from tests.terraform import reading_back
from tests.terraform import workshop as shop
from tests.terraform.reading_back import RECEIVES
from tests.terraform.tools import lacking, tool

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

# Each write of SQS is waited for by the provider, half a minute a queue.
PATIENCE = 900
TASKS = """
import os
import cloudq
from tenacity import stop_after_attempt

app = cloudq.App()

@app.task(queue="emails")
def welcome(number: int) -> None:
    with open(os.environ["RAN"], "a") as file:
        file.write(f"{number}\\n")

@app.task(queue="emails", retry=cloudq.RetryPolicy(stop=stop_after_attempt(1)))
def fail(body: str) -> None:
    raise ValueError(len(body))
"""
# Without tags: LocalStack forgets those of alarms, and every plan would set them again.
ROOT = """
provider "aws" {
  region     = "us-east-1"
  access_key = "test"
  secret_key = "test"

  skip_credentials_validation = true
  skip_metadata_api_check     = true

  endpoints {
    cloudwatch = "URL"
    dynamodb   = "TABLES"
    iam        = "URL"
    sqs        = "URL"
    sts        = "URL"
  }
}

module "queues" {
  source    = "../aws-sqs"
  prefix    = "prod-"
  scheduler = true
  claim_check       = { bucket = "payloads" }
  idempotency_table = { deletion_protection = false }
  queues = {
    emails        = { max_receive_count = RECEIVES, visibility_timeout_seconds = 60, max_message_bytes = 262144 }
    "orders.fifo" = { high_throughput = true }
  }
}

output "all" {
  value = module.queues
}
"""


@pytest.fixture
def mirrored(tmp_path):
    """Terraform with the providers of TF_MIRROR. Without one the test is skipped: `make test-terraform` says how."""
    mirror = os.environ.get("TF_MIRROR")
    if not mirror:
        lacking("TF_MIRROR names no folder with the real AWS provider: `terraform providers mirror` makes one")
    reason = shop.missing()
    if reason is not None:
        lacking(reason)
    return shop.Workshop(tmp_path, mirror=mirror)


@pytest.fixture
def tables():
    """The URL of a DynamoDB on this machine."""
    with moto_server(tool("moto_server")) as url:
        yield url


@pytest.fixture
def account():
    """An account of AWS's on this machine."""
    from localstack.start import CREDENTIALS, LocalStack

    with pytest.MonkeyPatch.context() as patch, LocalStack(services="sqs,iam,cloudwatch,sts,scheduler") as runner:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL", runner.url)
        yield runner.url


def test_its_tests(mirrored):
    """`validate` and `test` pass with the real provider, too."""
    place = mirrored.copy_for_the_mirror()
    mirrored.init(place)
    mirrored.validate(place)
    assert mirrored.test(place) > 20


def test_applied(mirrored, account, tables, tmp_path, monkeypatch):
    """What is applied is as asked: attributes, a worker's run, dead letters, no drift; destroying leaves nothing."""
    module = mirrored.copy_for_the_mirror()
    root = module.parent / "root"
    root.mkdir()
    (root / "main.tf").write_text(
        ROOT.replace("URL", account).replace("TABLES", tables).replace("RECEIVES", str(RECEIVES))
    )
    mirrored.init(root)
    mirrored.run(root, "apply", "-auto-approve", "-input=false", "-no-color", patience=PATIENCE)
    outputs = json.loads(mirrored.run(root, "output", "-json"))["all"]["value"]
    client = boto3.client("sqs")
    reading_back.check_queues(client, outputs)
    reading_back.check_rights(outputs)
    reading_back.check_alarms(outputs)
    table = boto3.client("dynamodb", endpoint_url=tables)
    reading_back.check_table(table, outputs)
    _work(outputs, tmp_path, monkeypatch)
    _poison(client, outputs["queues"]["emails"])
    # Exits with 2 if there is a change to be made.
    mirrored.run(root, "plan", "-detailed-exitcode", "-input=false", "-no-color", patience=PATIENCE)
    _enlarge(client, outputs["queues"]["emails"], tmp_path)
    _drift(mirrored, root)
    mirrored.run(root, "destroy", "-auto-approve", "-input=false", "-no-color", patience=PATIENCE)
    assert client.list_queues().get("QueueUrls", []) == []
    assert boto3.client("iam").list_policies(Scope="Local")["Policies"] == []
    assert boto3.client("iam").list_roles()["Roles"] == []
    assert boto3.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert table.list_tables()["TableNames"] == []


def _work(outputs, folder, monkeypatch):
    """A worker that has nothing but the module's own environment runs what was sent by it."""
    (folder / "tasks.py").write_text(TASKS)
    ran = folder / "ran"
    for name, value in (outputs["environment"] | {"RAN": str(ran), "PYTHONPATH": f"{shop.ROOT}"}).items():
        monkeypatch.setenv(name, value)
    _run(folder, "from tasks import app, welcome\napp.send_many(welcome.call(number) for number in range(200))")
    assert sorted(map(int, ran.read_text().split())) == list(range(200))


def _run(folder, send):
    for command in ("-c", send), ("-m", "cloudq", "worker", "--burst", "--app", "tasks"):
        subprocess.run([sys.executable, *command], cwd=folder, check=True, timeout=300)


def _enlarge(client, queue, folder):
    """Once queue and dead-letter queue take 1 MiB, a failing message of that size is a dead letter like any other."""
    for url in (queue["url"], queue["dead_letter_url"]):
        client.set_queue_attributes(QueueUrl=url, Attributes={"MaximumMessageSize": "1048576"})
    _run(folder, "from tasks import fail\nfail.send('x' * 1_000_000)")
    [message] = client.receive_message(QueueUrl=queue["dead_letter_url"], WaitTimeSeconds=2)["Messages"]
    assert len(message["Body"]) > 1_000_000


def _drift(mirrored, root):
    """A plan shows what was changed by hand, and nothing else."""
    mirrored.run(root, "plan", "-input=false", "-no-color", "-out=plan", patience=PATIENCE)
    changes = json.loads(mirrored.run(root, "show", "-json", "plan"))["resource_changes"]
    found = {}
    for change in changes:
        before, after = change["change"]["before"], change["change"]["after"]
        if change["change"]["actions"] != ["no-op"]:
            found[change["address"]] = [
                (name, before[name], after[name]) for name in after if after[name] != before[name]
            ]
    lowered = [("max_message_size", 1048576, 262144)]
    assert found == {f'module.queues.aws_sqs_queue.{kind}["emails"]': lowered for kind in ("this", "dead")}


def _poison(client, queue):
    """A message that nobody deletes is in the dead-letter queue after exactly as many receives as the module said."""
    client.send_message(QueueUrl=queue["url"], MessageBody="poison")
    receives = 0
    while client.receive_message(QueueUrl=queue["url"], VisibilityTimeout=0, WaitTimeSeconds=2).get("Messages"):
        receives += 1
    assert receives == RECEIVES
    [message] = client.receive_message(QueueUrl=queue["dead_letter_url"], WaitTimeSeconds=2)["Messages"]
    assert message["Body"] == "poison"
    client.delete_message(QueueUrl=queue["dead_letter_url"], ReceiptHandle=message["ReceiptHandle"])


def test_deployments(mirrored):
    """The deployments on AWS alone are valid for the real provider, which also knows the values that it takes."""
    examples = mirrored.copy_for_the_mirror() / "examples"
    for name in ("ecs-fargate", "lambda-zip", "lambda-image", "eks-keda"):
        mirrored.init(examples / name)
        mirrored.validate(examples / name)
