"""Claim checks in S3, by s3fs, on LocalStack."""

from __future__ import annotations

import pytest

from cloudq import App
from cloudq.core.message import Message
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BackendError, PayloadLost
from cloudq.queues.claim_check import ClaimCheck
from cloudq.testing import FakeClock, run_all

pytestmark = pytest.mark.slow

BIG = "x" * 300_000


@pytest.fixture
def s3(localstack, monkeypatch):
    """A client, once there is a bucket `payloads`, which is empty. LocalStack ends with the tests."""
    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL", localstack)
    client = boto3.client("s3")
    client.create_bucket(Bucket="payloads")
    yield client
    for blob in client.list_objects_v2(Bucket="payloads").get("Contents", []):
        client.delete_object(Bucket="payloads", Key=blob["Key"])
    client.close()


def test_payloads_in_s3(s3):
    """Stored below the prefix, several at once; fetched and verified; spoilt, empty, missing and deleted told apart."""
    clock, got = FakeClock(), []
    app = App(claim_check="s3://payloads/some/prefix?threshold=2048")

    @app.task("t")
    def task(number: int, text: str) -> None:
        got.append((number, text))

    with app.using(MemoryDriver(clock=clock), clock=clock):
        app.send_many([task.call(number, BIG) for number in range(12)])
        run_all(app, raise_errors=True)
    assert [(number, BIG) for number in range(12)] == sorted(got)
    keys = [blob["Key"] for blob in s3.list_objects_v2(Bucket="payloads")["Contents"]]
    assert 12 == len(keys)
    assert all(key.startswith("some/prefix/20") for key in keys)

    store = ClaimCheck("s3://payloads/other")
    blob = store.blob(Message(id="1", task="t", queue="q", payload={"text": BIG}))
    blob.save()
    key = f"other/{blob.reference.key}"
    assert {"text": BIG} == store.load(blob.reference)
    for spoilt, said in ((b"{}", "has 2 bytes"), (b"", "is empty"), (b"y" * 400_000, "has more than 300,011")):
        s3.put_object(Bucket="payloads", Key=key, Body=spoilt)
        with pytest.raises(PayloadLost, match=said):
            store.load(blob.reference)
    store.delete(blob.reference)
    store.delete(blob.reference)
    with pytest.raises(PayloadLost, match="isn't in s3://payloads/other"):
        store.load(blob.reference)


def test_a_bucket_that_isnt_there(s3):
    """Said so, with what to do; nothing is created."""
    store = ClaimCheck("s3://nobody-made-this/x")
    with pytest.raises(BackendError, match="FileNotFoundError") as raised:
        store.blob(Message(id="1", task="t", queue="q", payload={"text": BIG})).save()
    assert "make the bucket" in raised.value.hint
    assert ["payloads"] == [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
