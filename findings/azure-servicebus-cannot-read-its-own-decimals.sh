#!/bin/sh
# azure-servicebus writes a Decimal property as AMQP's decimal128, and can't read it again: ValueError, for all but zero.
#
# Version: azure-servicebus 7.15.0, with its own AMQP (`azure.servicebus._pyamqp`).
# Behaviour: what is written is right by IEEE 754-2008 (1 is 3040000000000000 0000000000000001, biased exponent 6176). The
#   reader takes the exponent for one that is larger by some thousands, and Python's decimal refuses it as an overflow; of
#   a zero it makes 0E+6111. So a message that one program sends with a Decimal among its application properties can't
#   be received by another with the same SDK: what it raises ends the receive.
# What cloudq does: its worker hands such a message over as undecodable, so that it ends in the dead-letter queue with that
#   reason, and receives the next one (`cloudq/drivers/service_bus/unreadable.py`).
#
# Installs into a folder of its own and talks to nobody. Exit status 0: it is as described above.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet azure-servicebus==7.15.0

cat > "$folder/show.py" <<'PYTHON'
from decimal import Decimal

from azure.servicebus._pyamqp import _decode
from azure.servicebus._pyamqp._encode import encode_value

seen = []
for number in (Decimal("1"), Decimal("12.50"), Decimal("-3.1"), Decimal("0")):
    written = bytearray()
    encode_value(written, number)
    read = _decode._DECODE_BY_CONSTRUCTOR[written[0]]
    try:
        seen.append(str(read(memoryview(bytes(written[1:])))[1]))
    except ValueError as error:
        seen.append(str(error).partition(":")[0])
    print(f"{number} is written as {written.hex()} and read as: {seen[-1]}")
refused = "Invalid AMQP decimal128 encoding"
raise SystemExit(0 if seen == [refused, refused, refused, "0E+6111"] else "this is no longer so")
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
