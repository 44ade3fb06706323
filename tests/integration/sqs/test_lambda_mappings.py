"""A queue's mapping with a Lambda function, disabled and enabled by moto's Lambda."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from typing import Any
from urllib.parse import quote

import boto3
import pytest

from cloudq import App
from cloudq.cli import main
from cloudq.drivers.sqs import SQSDriver
from localstack.start import ACCOUNT, CREDENTIALS
from tests.moto_server import moto_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]

REGION = "us-east-1"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def a_mapping(server: str, queue: str) -> tuple[Any, str]:
    """Lambda, and a mapping of the queue with a function."""

    def client(name: str) -> Any:
        return boto3.client(name, region_name=REGION, endpoint_url=server)

    name = f"f-{uuid.uuid4().hex[:8]}"
    role = client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("f.py", "def handle(event, context): ...")
    service = client("lambda")
    function = {"FunctionName": name, "Runtime": "python3.12", "Role": role, "Handler": "f.handle"}
    service.create_function(**function, Code={"ZipFile": code.getvalue()})
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"
    return service, service.create_event_source_mapping(EventSourceArn=arn, FunctionName=name)["UUID"]


def test_a_pause_disables_a_mapping_and_a_resume_enables_it(monkeypatch, capsys) -> None:
    """By the command line, with the SDK's own clients; the other mapping of the queue stays as it is."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with moto_server() as server:
        url = f"sqs://{REGION}?endpoint_url={quote(server, safe='')}"
        app = App(url)
        driver = app.driver()
        assert isinstance(driver, SQSDriver)
        assert driver.make_queue("mail")
        app.close()
        service, mapping = a_mapping(server, "mail")
        _, other = a_mapping(server, "mail")

        def enabled(which: str) -> bool:
            return service.get_event_source_mapping(UUID=which)["State"] == "Enabled"

        for words, on in (("pause", False), ("resume", True)):
            assert 0 == main([words, "mail", "--backend", url, "--lambda-mapping", mapping])
            assert f"Lambda mapping {mapping} of function f-" in capsys.readouterr().out
            assert (on, True) == (enabled(mapping), enabled(other))
        assert 0 == main(["pause", "mail", "--backend", url, "--lambda-mapping", "all", "--json"])
        assert 2 == len(json.loads(capsys.readouterr().out)["lambda_mappings"])
        assert (False, False) == (enabled(mapping), enabled(other))
        service.close()
