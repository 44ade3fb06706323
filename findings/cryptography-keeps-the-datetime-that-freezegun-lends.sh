#!/bin/sh
# cryptography keeps for good the class that stands as `datetime.datetime` when it first needs it, freezegun's stand-in too.
#
# Versions: cryptography 50.0.2, freezegun 1.5.5.
# Behaviour: a program whose first certificate is made while freezegun has frozen time can make none when the time is its own
#   again: "TypeError: 'datetime' object is not an instance of 'FakeDatetime'", until the process ends. So does a test suite
#   whose first test that makes a certificate freezes time: the others fail, in whatever order puts them behind it.
#   Made once before, certificates are made while time is frozen, too, and afterwards.
# What cloudq does: its emulator of Cloud Tasks, which makes a certificate as it starts, is started before time is frozen in
#   its tests (`tests/unit/emulators/test_loops.py`), and the page about testing says so.
#
# Installs into a folder of its own and talks to nobody. Exit status 0: it is as described above.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/show.py" <<'PYTHON'
import datetime
import sys

import freezegun
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

KEY = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])


def certificate() -> str:
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(NAME, NAME, KEY.public_key(), 1, now, now + datetime.timedelta(1))
    try:
        builder.sign(KEY, SHA256())
    except TypeError as error:
        return str(error)
    return "made"


before = certificate() if sys.argv[1] == "before" else "none"
with freezegun.freeze_time("2030-01-02"):
    during = certificate()
print(f"before: {before}; while time is frozen: {during}; afterwards: {certificate()}")
PYTHON

python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet cryptography==50.0.2 freezegun==1.5.5
first=$("$folder/venv/bin/python" "$folder/show.py" frozen)
later=$("$folder/venv/bin/python" "$folder/show.py" before)
printf '%s\n' "$first" "$later"
[ "$first" = "before: none; while time is frozen: made; afterwards: 'datetime' object is not an instance of 'FakeDatetime'" ]
[ "$later" = "before: made; while time is frozen: made; afterwards: made" ]
