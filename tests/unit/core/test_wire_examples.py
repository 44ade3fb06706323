"""The wire format's examples for other languages make messages that are understood."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cloudq.core import wire

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "wire-format.md").read_text(encoding="utf-8")
ID = '"7"'


def block(language: str, holding: str = "specversion") -> str:
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
