#!/bin/sh
# OpenTelemetry's boto3sqs ends the span of the first message of a DeleteMessageBatch only; it keeps the others for good.
#
# Versions: opentelemetry-instrumentation-boto3sqs 0.66b1, opentelemetry-sdk 1.45.1, boto3 1.44.8.
# Behaviour: for each message that is received a span is started and kept by its receipt handle until the message is deleted.
#   The wrapper of delete_message_batch returns within its loop over the entries, so of ten messages that are deleted
#   together one span is ended, and nine stay in `Boto3SQSInstrumentor.received_messages_spans`: they are never exported,
#   and a consumer that deletes in batches grows by them.
# What cloudq does: nothing; its page on compatibility says so, and names the botocore instrumentation instead.
#
# Installs into a folder of its own and talks to nobody: botocore's stubber answers. Exit status 0: it is as described above.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet opentelemetry-instrumentation-boto3sqs==0.66b1 opentelemetry-sdk==1.45.1 boto3==1.44.8

cat > "$folder/show.py" <<'PYTHON'
from hashlib import md5

import boto3
from botocore.stub import Stubber
from opentelemetry.instrumentation.boto3sqs import Boto3SQSInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

URL = "http://127.0.0.1:9/000000000000/q"
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
Boto3SQSInstrumentor().instrument(tracer_provider=provider)
client = boto3.client("sqs", "us-east-1", endpoint_url="http://127.0.0.1:9", aws_access_key_id="x", aws_secret_access_key="x")
handles = [f"handle-{n}" for n in range(10)]
digest = md5(b"text").hexdigest()
messages = [{"MessageId": f"m-{h}", "ReceiptHandle": h, "Body": "text", "MD5OfBody": digest} for h in handles]
with Stubber(client) as stubber:
    stubber.add_response("receive_message", {"Messages": messages})
    stubber.add_response("delete_message_batch", {"Successful": [{"Id": str(n)} for n in range(10)], "Failed": []})
    client.receive_message(QueueUrl=URL, MaxNumberOfMessages=10)
    client.delete_message_batch(QueueUrl=URL, Entries=[{"Id": str(n), "ReceiptHandle": h} for n, h in enumerate(handles)])
kept = len(Boto3SQSInstrumentor.received_messages_spans)
ended = sum(span.name.endswith(" process") for span in exporter.get_finished_spans())
print(f"10 messages were received and deleted: {ended} spans have ended, {kept} are kept")
raise SystemExit(0 if (ended, kept) == (1, 9) else "this is no longer so")
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
