"""The wire format's examples for other languages make messages that are understood."""

from __future__ import annotations

import hmac
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cloudq.core import wire
from cloudq.core.signatures import fault_in, sign
from cloudq.core.signing_keys import parse_signing_keys

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "wire-format.md").read_text(encoding="utf-8")
VECTORS = json.loads(
    (Path(__file__).parents[3] / "docs" / "reference" / "wire-format.signatures.json").read_text("utf-8")
)
[EXPIRING] = [vector for vector in VECTORS["vectors"] if "expirytime" in vector["body"]]
KEYS = parse_signing_keys(f"{VECTORS['key_id']}:{VECTORS['key']}", "KEYS")
ID = '"7"'


def block(language: str, holding: str = '"specversion"') -> str:
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    [found] = [one for one in blocks if holding in one]
    return found


def from_js(text: str) -> str:
    return text.partition("const event = ")[2].partition(";\n")[0].replace("crypto.randomUUID()", ID)


def from_go(text: str) -> str:
    literal = text.partition("json.Marshal(")[2].partition("})\n")[0] + "}"
    return literal.replace("map[string]any", "").replace("uuid.NewString()", ID)


def from_csharp(text: str) -> str:
    literal = text.partition("Dictionary<string, object> ")[2].partition(");\n")[0]
    literal = re.sub(r"new \{ (\w+) = (\w+) \}", r'{"\1": \2}', literal.replace("Guid.NewGuid().ToString()", ID))
    return re.sub(r'\["(\w+)"\] = ', r'"\1": ', literal)


def from_java(text: str) -> str:
    literal = text.partition("writeValueAsBytes(")[2].partition(");\n")[0].replace("UUID.randomUUID().toString()", ID)
    inner = re.sub(r'Map\.of\(("\w+"), (\w+)\)', r"{\1: \2}", literal)
    parts = inner.strip().removeprefix("Map.of(").removesuffix(")").split(",")
    return "{" + ",".join(f"{name}: {value}" for name, value in zip(parts[::2], parts[1::2], strict=True)) + "}"


@pytest.mark.parametrize(
    ("language", "as_json"), [("js", from_js), ("go", from_go), ("csharp", from_csharp), ("java", from_java)]
)
def test_an_example_of_a_language_makes_a_message(language, as_json):
    """What it would write as JSON is a message of the page's task."""
    body = re.sub(r",\s*}", "}", as_json(block(language)))
    check(json.dumps(json.loads(body)).encode())


def check(body: bytes) -> None:
    message = wire.decode(body, queue="emails")
    assert ("shop.tasks.welcome", {"user_id": 42}) == (message.task, message.payload)
    assert message.id
    assert message.source


@pytest.mark.skipif(shutil.which("node") is None, reason="Node isn't installed")
def test_nodes_example_runs():
    """With a sender that writes an object as JSON, as @azure/service-bus does, and a text as a JSON text."""
    script = f"""
        const sender = {{ async sendMessages(message) {{ process.stdout.write(JSON.stringify(message.body)); }} }};
        (async () => {{ {block("js")} }})();
    """
    check(subprocess.run(["node", "-e", script], capture_output=True, check=True).stdout)


def test_the_shells_example_runs(tmp_path):
    """It writes the file that the lines after it send."""
    script = "command -v uuidgen >/dev/null || uuidgen() { echo 7; }\n" + block("sh")
    subprocess.run(["sh", "-ec", script], cwd=tmp_path, check=True)
    check((tmp_path / "message.json").read_bytes())


def test_pythons_example_runs():
    """With the package `cloudevents`."""
    made: dict[str, bytes] = {}
    exec(block("python", "CloudEvent"), made)  # noqa: S102 - the page's own lines
    check(made["body"])


# ── signatures ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["what"])
def test_a_text_to_test_with_has_the_signature_that_we_give(vector):
    """And one that we accept; it is the HMAC of what the file says is signed."""
    body = vector["body"].encode()
    wire.decode(body, "q")
    assert vector["cloudqsignature"] == json.loads(sign(body, KEYS.first))["cloudqsignature"]
    whole = body.rstrip()[:-1] + b', "cloudqsignature": "%s"}' % vector["cloudqsignature"].encode()
    assert fault_in(whole, KEYS) is None
    mac = hmac.new(bytes.fromhex(VECTORS["key"]), vector["signed"].encode(), "sha256").hexdigest()
    version = 2 if "expirytime" in vector["body"] else 1
    assert f"{version}.{VECTORS['key_id']}.{mac}" == vector["cloudqsignature"]


def test_the_pages_own_message_is_one_of_them():
    """With what is signed of it."""
    assert fault_in(block("json", "cloudqsignature").encode(), KEYS) is None
    assert VECTORS["vectors"][1]["signed"] == block("text", ":2026a").strip()


@pytest.mark.skipif(shutil.which("node") is None, reason="Node isn't installed")
def test_nodes_signature_is_accepted():
    """Of events with and without data, with every attribute that is signed, and texts that aren't ASCII."""
    vectors = [*VECTORS["vectors"][:3], EXPIRING]
    events = [json.loads(vector["body"]) for vector in vectors]
    events[1]["data"] = {"user_id": 4.5, "text": "\N{SNOWMAN} </script>", "list": [1e21, None, True]}
    script = f"""{block("javascript", "createHmac")}
        for (const event of {json.dumps(events)}) {{
            console.log(JSON.stringify(signed(event, "{VECTORS["key_id"]}", "{VECTORS["key"]}")));
        }}"""
    bodies = subprocess.run(["node", "-e", script], capture_output=True, check=True).stdout.splitlines()
    assert [None] * 4 == [fault_in(body, KEYS) for body in bodies]
    assert [vector["cloudqsignature"] for vector in vectors[2:]] == [
        json.loads(body)["cloudqsignature"] for body in bodies[2:]
    ]


@pytest.mark.skipif(shutil.which("bash") is None or shutil.which("openssl") is None, reason="needs bash and openssl")
def test_bashs_signature_is_accepted(tmp_path):
    """It writes the file that is sent."""
    (tmp_path / "signing-key.hex").write_text(VECTORS["key"] + "\n")
    script = "command -v uuidgen >/dev/null || uuidgen() { echo 7; }\n" + block("bash", "openssl")
    subprocess.run(["bash", "-ec", script], cwd=tmp_path, check=True)
    body = (tmp_path / "message.json").read_bytes()
    check(body)
    assert fault_in(body, KEYS) is None


@pytest.mark.skipif(shutil.which("go") is None, reason="Go isn't installed")
@pytest.mark.parametrize("vector", [VECTORS["vectors"][2], EXPIRING], ids=lambda vector: vector["what"])
def test_gos_signature_is_accepted(vector, tmp_path):
    """Of the message with every attribute that version 1 signs, and of one that expires."""
    event = json.loads(vector["body"])
    data = json.dumps(event["data"], separators=(",", ":"))
    imports = "".join(
        f'"{name}"\n' for name in ("crypto/hmac", "crypto/sha256", "encoding/hex", "encoding/json", "fmt")
    )
    main = f"""package main
        import ({imports})
        {block("golang", "hmac.New")}
        func main() {{
            var event map[string]any
            json.Unmarshal([]byte({json.dumps(json.dumps(event))}), &event)
            key, _ := hex.DecodeString("{VECTORS["key"]}")
            fmt.Print(signature(event, []byte({json.dumps(data)}), "{VECTORS["key_id"]}", key))
        }}"""
    (tmp_path / "main.go").write_text(main)
    made = subprocess.run(["go", "run", "main.go"], cwd=tmp_path, capture_output=True, check=True).stdout
    assert vector["cloudqsignature"].encode() == made
