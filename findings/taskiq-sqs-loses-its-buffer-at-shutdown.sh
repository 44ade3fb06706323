#!/bin/sh
# taskiq-sqs with batching on gives SQS all that it has buffered in one call at shutdown: more than ten, and all is lost.
#
# Versions: taskiq-sqs 0.1.0, taskiq 0.12.6, moto 5.2.5 (its server stands for SQS).
# Behaviour: with `is_batching_enabled` a kick puts its message into a buffer of the process and returns. `shutdown()` sends
#   what is buffered by a single SendMessageBatch, however much it is. SQS takes ten entries a call and refuses more as a
#   whole (TooManyEntriesInBatchRequest), so that after 25 kicks `shutdown()` raises BrokerInitError and the queue is empty.
#   With ten kicks all ten are stored. Also: taskiq-sqs 0.1.0 allows Taskiq 0.13.0 and can't be imported beside it
#   (`taskiq.compat.model_dump` is gone there), hence the version of Taskiq above.
# What cloudq does: a send returns once the service has named its message as stored; nothing is buffered before that. Its
#   benchmark leaves taskiq-sqs's batches out for this reason.
#
# Installs into a folder of its own and talks to a server on loopback only. Exit status 0: it is as described above.
set -eu

folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet taskiq-sqs==0.1.0 taskiq==0.12.6 'moto[server]==5.2.5'

port=$("$folder/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$folder/venv/bin/python" -m moto.server -H 127.0.0.1 -p "$port" > "$folder/log" 2>&1 &
server=$!

cat > "$folder/show.py" <<'PYTHON'
import asyncio
import sys
import time
import urllib.request

import boto3
from taskiq_sqs import SQSBroker
from taskiq_sqs.exceptions import BrokerInitError

SERVER = f"http://127.0.0.1:{sys.argv[1]}"
KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
for _ in range(300):
    try:
        urllib.request.urlopen(SERVER, timeout=5)
        break
    except OSError:
        time.sleep(0.1)
sqs = boto3.client("sqs", region_name="us-east-1", endpoint_url=SERVER, **KEYS)


async def stored(kicks: int) -> tuple[int, str]:
    name = f"q{kicks}"
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    queue = {"name": name, "is_batching_enabled": True, "batch_timeout": 60, "batch_size": 10}
    broker = SQSBroker(queue, endpoint_url=SERVER, aws_region_name="us-east-1", **KEYS)
    task = broker.task(task_name="t")(lambda: None)
    await broker.startup()
    for _ in range(kicks):
        await task.kiq()
    try:
        await broker.shutdown()
        raised = "nothing"
    except BrokerInitError as error:
        raised = f"BrokerInitError ({str(error).rpartition('.')[2].strip()})"
    numbers = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    return int(numbers["ApproximateNumberOfMessages"]), raised


seen = {}
for kicks in (10, 25):
    seen[kicks], raised = asyncio.run(stored(kicks))
    print(f"{kicks} kicks returned: {seen[kicks]} messages are stored; shutdown raised {raised}")
raise SystemExit(0 if seen == {10: 10, 25: 0} else "this is no longer so")
PYTHON
"$folder/venv/bin/python" "$folder/show.py" "$port"
