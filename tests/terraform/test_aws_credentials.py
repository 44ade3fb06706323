"""The Cloud Run worker pool's way to AWS: Google's token for credentials that run out, with no key kept anywhere."""

from __future__ import annotations

import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import botocore.session
import pytest

from tests.terraform.workshop import MODULES

EXAMPLE = MODULES / "aws-sqs/examples/cloud-run-worker-pool"
ROLE = "arn:aws:iam::123456789012:role/shop-worker"
ANSWER = """
<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<Credentials><AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>
<SessionToken>session</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>
"""


class Clouds(HTTPServer):
    """Google's metadata server and AWS's STS, on this machine; what was asked is kept."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, list[str]], dict[str, str]]] = []
        super().__init__(("127.0.0.1", 0), Answer)


class Answer(BaseHTTPRequestHandler):
    server: Clouds

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.answer(url.path, url.query, "google-token")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.answer(self.path, body, ANSWER)

    def answer(self, path: str, query: str, text: str) -> None:
        self.server.asked.append((self.command, path, parse_qs(query), dict(self.headers)))
        # A script that ran itself would do so without end.
        self.send_response(200 if len(self.server.asked) <= 2 else 500)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def clouds():
    with Clouds() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_boto3_finds_them(clouds, tmp_path, monkeypatch):
    """By the configuration file alone boto3 gets credentials that it renews, with one token and one call to STS.

    The script runs with the same file in its environment: it must not look for credentials itself.
    """
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    configuration = tmp_path / "aws.ini"
    text = (EXAMPLE / "aws.ini").read_text()
    assert "/srv/aws_credentials.py" in text
    configuration.write_text(text.replace("/srv/aws_credentials.py", str(EXAMPLE / "aws_credentials.py")))
    address = f"127.0.0.1:{clouds.server_port}"
    for name, value in {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "AWS_CONFIG_FILE": str(configuration),
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_REGION": "eu-west-1",
        "AWS_ROLE": ROLE,
        "AWS_ENDPOINT_URL_STS": f"http://{address}",
        "GCE_METADATA_HOST": address,
    }.items():
        monkeypatch.setenv(name, value)
    found = botocore.session.Session().get_credentials()
    assert found is not None
    assert found.method == "custom-process"
    frozen = found.get_frozen_credentials()
    assert (frozen.access_key, frozen.secret_key, frozen.token) == ("ASIA1", "secret", "session")
    (get, path, query, headers), (post, _, body, signed) = clouds.asked
    assert (get, path, headers["Metadata-Flavor"]) == (
        "GET",
        "/computeMetadata/v1/instance/service-accounts/default/identity",
        "Google",
    )
    # What the role's trust policy asks for.
    assert query["audience"] == ["sts.amazonaws.com"]
    assert f'"accounts.google.com:oaud" = "{query["audience"][0]}"' in (EXAMPLE / "roles.tf").read_text()
    assert (post, body["Action"], body["WebIdentityToken"]) == (
        "POST",
        ["AssumeRoleWithWebIdentity"],
        ["google-token"],
    )
    assert body["RoleArn"] == [ROLE]
    assert "Authorization" not in signed
