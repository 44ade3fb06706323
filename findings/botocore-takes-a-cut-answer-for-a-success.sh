#!/bin/sh
# botocore takes a 200 whose headers or body were cut on the way, and a web page, for a success of SendMessageBatch.
#
# Versions: boto3 and botocore 1.44.8, any Python from 3.10.
# Behaviour: the connection ends within the headers or the body of a 200, or a proxy answers with a page. The client
#   returns a dictionary without Successful and without Failed, and raises nothing. A caller that looks only for Failed
#   takes messages for stored that were not. Asked for with `enforce_content_length=False` (botocore/httpsession.py), and
#   by JSON that can't be read becoming {"message": text} (botocore/parsers.py, `_parse_body_as_json`).
# What cloudq does: it looks at each answer before botocore reads it (decision 30).
#
# Installs into a folder of its own and talks to a port of this machine only. Exit status 0: it is as described above.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet boto3==1.44.8 botocore==1.44.8

cat > "$folder/show.py" <<'PYTHON'
import socket
import threading

import boto3
import botocore
from botocore.config import Config

PAGE = b"<html><body>It works!</body></html>"
BODY = b'{"Successful": [], "Failed": [{"Id": "0", "Code": "InternalError", "Message": "not stored", "SenderFault": false}]}'
HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n" % len(BODY)
ANSWERS = {
    "whole": HEADERS + BODY,
    "cut in the headers": HEADERS[:25],
    "cut after the headers": HEADERS,
    "cut in the body": HEADERS + BODY[:40],
    "a web page": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(PAGE) + PAGE,
}
listener = socket.create_server(("127.0.0.1", 0))


def serve() -> None:
    for answer in ANSWERS.values():
        connection, _ = listener.accept()
        with connection:
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            head, _, body = data.partition(b"\r\n\r\n")
            lines = (line.partition(b":") for line in head.lower().split(b"\r\n"))
            length = next(int(value) for name, _, value in lines if name == b"content-length")
            while len(body) < length:
                body += connection.recv(65536)
            connection.sendall(answer)


threading.Thread(target=serve, daemon=True).start()
print("botocore", botocore.__version__)
found = {}
for name in ANSWERS:
    client = boto3.client(
        "sqs",
        "us-east-1",
        endpoint_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"total_max_attempts": 1}),
    )
    try:
        answer = client.send_message_batch(
            QueueUrl="http://127.0.0.1/000000000000/q", Entries=[{"Id": "0", "MessageBody": "text"}]
        )
        answer.pop("ResponseMetadata", None)
        found[name] = sorted(answer)
    except Exception as error:
        found[name] = type(error).__name__
    print(f"{name:>22}: {found[name]}")

expected = {name: [] for name in ANSWERS} | {"whole": ["Failed", "Successful"]}
raise SystemExit(0 if found == expected else "this is no longer so")
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
