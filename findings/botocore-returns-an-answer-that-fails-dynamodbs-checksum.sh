#!/bin/sh
# botocore returns an answer of DynamoDB that fails its checksum, once its tries are used up: in all retry modes but legacy.
#
# Versions: boto3 and botocore 1.44.8, any Python from 3.10.
# Behaviour: DynamoDB sends `x-amz-crc32` with each answer. One that doesn't fit it is asked for again, in each mode. After
#   the last try the mode "legacy" (the default) raises ChecksumError. "standard" and "adaptive", which AWS recommends,
#   return that answer as a success, without a word but in a debug log (botocore/retries/special.py says whether to try
#   again, and nothing turns its last "yes" into an error). So does a client that tries once. A GetItem returns another
#   value than the table's.
# What cloudq does: its store on DynamoDB compares the sum by itself, whatever the mode (decision 64).
#
# Installs into a folder of its own and talks to a port of this machine only. Exit status 0: it is as described above.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet boto3==1.44.8 botocore==1.44.8

cat > "$folder/show.py" <<'PYTHON'
import zlib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import boto3
import botocore
from botocore.config import Config

SENT = b'{"Item":{"key":{"S":"k"},"balance":{"N":"100"}}}'
ARRIVED = SENT.replace(b"100", b"900")
calls = Counter()


class Service(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        mode = self.path.strip("/")
        calls[mode] += 1
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(ARRIVED)))
        self.send_header("x-amz-crc32", str(zlib.crc32(SENT)))
        self.end_headers()
        self.wfile.write(ARRIVED)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
Thread(target=server.serve_forever, daemon=True).start()
print("botocore", botocore.__version__)
found = {}
for mode, tries in (("legacy", 3), ("legacy", 1), ("standard", 3), ("standard", 1), ("adaptive", 3)):
    name = f"{mode}, {tries} tries"
    client = boto3.client(
        "dynamodb",
        "us-east-1",
        endpoint_url=f"http://127.0.0.1:{server.server_port}/{mode}-{tries}",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"mode": mode, "total_max_attempts": tries}),
    )
    try:
        answer = client.get_item(TableName="t", Key={"key": {"S": "k"}})
        found[name] = f"a balance of {answer['Item']['balance']['N']}"
    except Exception as error:
        found[name] = type(error).__name__
    print(f"{name:>17}: {found[name]} after {calls[f'{mode}-{tries}']} call(s); sent was 100")

expected = {name: "ChecksumError" if "legacy" in name else "a balance of 900" for name in found}
raise SystemExit(0 if found == expected else "this is no longer so")
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
