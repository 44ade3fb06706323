#!/bin/sh
# kombu on SQS creates the queue that a passive declaration only asks about, and says that it has no messages.
#
# Versions: kombu 5.7.0, boto3 1.44.8, moto 5.2.2 (its server stands for SQS).
# Behaviour: in AMQP, `queue_declare(passive=True)` asks whether a queue exists, and is an error if it doesn't; kombu's Redis
#   transport raises ChannelError (404). Its SQS transport doesn't override `_has_queue`, whose default is true, so the look goes
#   on to the queue's size, for which the missing queue is created. Who mistypes a queue's name, or names one of another region,
#   is told of 0 messages, and has a new queue.
# What cloudq does: `cloudq bridge celery` reads SQS by cloudq's own driver, which creates nothing, and says that there is no such queue.
#
# Installs into a folder of its own and talks to nobody but a server that it starts on 127.0.0.1. Exit status 0: it is as described.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet kombu==5.7.0 boto3==1.44.8 "moto[sqs,server]==5.2.2"

cat > "$folder/show.py" <<'PYTHON'
import logging

import boto3
from kombu import Connection
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
_, port = server.get_host_and_port()
sqs = boto3.client(
    "sqs", "us-east-1", endpoint_url=f"http://127.0.0.1:{port}", aws_access_key_id="x", aws_secret_access_key="x"
)


def queues() -> list[str]:
    return [url.rpartition("/")[2] for url in sqs.list_queues().get("QueueUrls", [])]


before = queues()
options = {"region": "us-east-1", "is_secure": False}
with Connection(f"sqs://x:x@127.0.0.1:{port}", transport_options=options) as connection:
    answer = connection.channel().queue_declare("orders", passive=True)
after = queues()
server.stop()
print(f"queues before: {before}; the answer: {answer.message_count} messages in {answer.queue!r}; queues after: {after}")
raise SystemExit(0 if (before, answer.message_count, after) == ([], 0, ["orders"]) else "this is no longer so")
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
