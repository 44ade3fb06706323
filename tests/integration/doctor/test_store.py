"""`cloudq doctor` on a store in DynamoDB, by moto's server: a table without its time to live is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from cloudq import App
from cloudq.cli.doctor.examination import Report, examine
from localstack.start import CREDENTIALS
from tests.moto_server import moto_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]

REGION = "us-east-1"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def table(server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client, and a table `cloudq` without a time to live."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("dynamodb", region_name=REGION, endpoint_url=server)
    for name in client.list_tables()["TableNames"]:
        client.delete_table(TableName=name)
    client.create_table(
        TableName="cloudq",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return client


def report(server: str, folder: Path, name: str = "cloudq") -> Report:
    app = App(f"sqlite:///{folder / 'queue.db'}", store=f"dynamodb://{name}?region={REGION}&endpoint_url={server}")
    app.task("welcome", queue="mail", idempotency_key="{n}")(lambda n: None)
    try:
        return examine(app, ["mail"], installed=lambda _: None)
    finally:
        app.close()


@pytest.mark.parametrize(
    ("attribute", "ids"), [("expires_at", []), ("other", ["store-grows"]), (None, ["store-grows"])]
)
def test_the_time_to_live_of_a_table(server, table, tmp_path, attribute, ids):
    """By the attribute that the store writes, as the Terraform module has it."""
    if attribute is not None:
        table.update_time_to_live(
            TableName="cloudq", TimeToLiveSpecification={"Enabled": True, "AttributeName": attribute}
        )
    told = report(server, tmp_path)
    assert (ids, []) == ([finding.fault.id for finding in told.findings], told.unchecked)
    assert all("--table-name cloudq" in finding.command for finding in told.findings)


def test_a_table_that_is_not_there(server, table, tmp_path):
    """The store can't be used."""
    assert ["store-unusable"] == [finding.fault.id for finding in report(server, tmp_path, "another").findings]
