#!/bin/sh
# OpenTelemetry's boto3sqs begins spans for a receive though instrumentation is suppressed; for a send it begins none.
#
# Versions: opentelemetry-instrumentation-boto3sqs 0.66b1, opentelemetry-sdk 1.45.1, boto3 1.44.8.
# Behaviour: the wrappers of send_message and send_message_batch ask `is_instrumentation_enabled()` first. That of
#   receive_message doesn't: within `suppress_instrumentation()` it begins a span for the call and one for each message,
#   and adds its names to MessageAttributeNames. A library that makes its own spans of its calls can't keep it from that.
# What cloudq does: with `cloudq.telemetry.instrument` on, it calls the function that boto3sqs has wrapped (wrapt's `__wrapped__`).
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
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

URL = "http://127.0.0.1:9/000000000000/q"
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
Boto3SQSInstrumentor().instrument(tracer_provider=provider)
client = boto3.client("sqs", "us-east-1", endpoint_url="http://127.0.0.1:9", aws_access_key_id="x", aws_secret_access_key="x")
digest = md5(b"text").hexdigest()
message = {"MessageId": "m", "ReceiptHandle": "handle", "Body": "text", "MD5OfBody": digest}
with Stubber(client) as stubber, suppress_instrumentation():
    stubber.add_response("send_message", {"MessageId": "m", "MD5OfMessageBody": digest})
    client.send_message(QueueUrl=URL, MessageBody="text")
    sent = len(exporter.get_finished_spans())
    stubber.add_response("receive_message", {"Messages": [message]})
    client.receive_message(QueueUrl=URL)
received = len(exporter.get_finished_spans()) - sent
kept = len(Boto3SQSInstrumentor.received_messages_spans)
print(f"while suppressed: {sent} spans of a send; {received} of a receive, and {kept} begun for its message")
raise SystemExit(0 if (sent, received, kept) == (0, 1, 1) else "this is no longer so")
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
