"""What is installed, run and promised: bounds, images, and the papers that say so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {name: [Requirement(text) for text in texts] for name, texts in PROJECT["optional-dependencies"].items()}
# The first release without the vulnerabilities that were published by November 2026: from the advisories as pull
# requests of other projects cite them, not from OSV itself. `make audit` asks for what has come since.
FIRST_SAFE = {
    "aiohttp": ("3.14.3", "CVE-2025-69223 to 69230, CVE-2026-22815, CVE-2026-54273 to 54280, GHSA-cq5v-8q36-5273"),
    "azure-core": ("1.38", "CVE-2026-21226"),
    "cryptography": ("49", "CVE-2024-12797, CVE-2026-26007, GHSA-537c-gmf6-5ccf (the wheels' OpenSSL)"),
    "flask": ("3.1.3", "CVE-2025-47278, CVE-2026-27205"),
    "filelock": ("3.20.3", "CVE-2025-68146, CVE-2026-22701"),
    "h11": ("0.16", "CVE-2025-43859"),
    "protobuf": ("6.33.5", "CVE-2026-0994"),
    "pyasn1": ("0.6.3", "CVE-2026-30922"),
    "pyjwt": ("2.13", "CVE-2024-53861, CVE-2026-32597, CVE-2026-48526"),
    "pymysql": ("1.1.1", "CVE-2024-36039"),
    "redis": ("4.5.4", "CVE-2023-28858, CVE-2023-28859"),
    "requests": ("2.33", "CVE-2026-25645"),
    "pillow": ("12.3", "CVE-2026-40192, CVE-2026-59198, 59200, 59204 and 59205"),
    "starlette": ("1.3.1", "CVE-2025-62727, CVE-2026-48710, CVE-2026-48818, CVE-2026-54282, CVE-2026-54283"),
    "urllib3": ("2.7", "CVE-2026-21441, CVE-2026-44431, CVE-2026-44432"),
    "uv": ("0.9.6", "GHSA-pqhf-p39g-3x64"),
    "werkzeug": ("3.1.6", "CVE-2025-66221, CVE-2026-21860, CVE-2026-27199"),
}
# What a requirement brings along without such a bound of its own.
BRINGS = {
    "boto3": {"urllib3"},
    "fastapi": {"starlette"},
    "flask": {"werkzeug"},
    "uvicorn": {"h11"},
    "google-cloud-tasks": {"protobuf"},
    "google-auth": {"cryptography", "pyasn1"},
    "azure-servicebus": {"azure-core"},
    "azure-identity": {"cryptography", "requests", "urllib3"},
}
# Those whose private parts are used, so that a new release is tried before it is let in: docs/decisions/0023.
CAPPED = {"azure-servicebus"}
IMAGE = re.compile(r"^\s*(?:FROM|image:)\s+(\S+)", re.MULTILINE)
FILES_WITH_IMAGES = [
    "localstack/compose.yaml",
    "docs/how-to/containers/Dockerfile",
    "docs/how-to/containers.md",
    "docs/how-to/deploy-lambda.md",
    "terraform/aws-sqs/examples/lambda-image/Dockerfile",
]


def least(requirement: Requirement) -> Version:
    """The lowest version that a requirement lets in."""
    return max((Version(one.version) for one in requirement.specifier if one.operator == ">="), default=Version("0"))


@pytest.mark.parametrize("name", sorted(FIRST_SAFE))
def test_no_bound_lets_in_what_is_known_to_be_vulnerable(name: str) -> None:
    """In any extra that names it."""
    first_safe, why = FIRST_SAFE[name]
    found = [one for requirements in EXTRAS.values() for one in requirements if one.name.lower() == name]
    assert found
    assert [] == [f"{one}: {why}" for one in found if least(one) < Version(first_safe)]


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - {"all", "bench"}))
def test_what_comes_along_is_bounded_too(extra: str) -> None:
    """The SDKs' own bounds are far below."""
    named = {requirement.name.lower() for requirement in EXTRAS[extra]}
    wanted = {brought for name in named for brought in BRINGS.get(name, ())}
    assert set() == wanted - named


def test_only_an_sdk_whose_private_parts_are_used_has_an_upper_bound() -> None:
    """Everywhere that it is named; a library that caps keeps its users from upgrading."""
    shipped = set(EXTRAS) - {"bench", "dev"}
    capped = {
        one.name
        for extra in shipped
        for one in EXTRAS[extra]
        if re.search("[<=~]", str(one.specifier).replace(">=", ""))
    }
    assert CAPPED == capped
    every = [one for requirements in EXTRAS.values() for one in requirements if one.name in CAPPED]
    assert {"<7.16,>=7.15"} == {",".join(sorted(map(str, one.specifier))) for one in every}


@pytest.mark.parametrize("name", FILES_WITH_IMAGES)
def test_images_are_named_by_an_exact_version_or_a_digest(name: str) -> None:
    """What is pulled tomorrow is what was tried."""
    images = [image for image in IMAGE.findall((ROOT / name).read_text(encoding="utf-8")) if ":" in image]
    assert images
    for image in images:
        tag = image.partition("@")[0].rpartition(":")[2]
        assert "latest" not in tag
        assert "@sha256:" in image or re.search(r"\d+\.\d+\.\d+|CU\d+", tag), image


def test_the_list_of_files_with_images_is_whole() -> None:
    """Compose files and Dockerfiles, wherever they are."""
    there = {
        path
        for pattern in ("*Dockerfile", "*compose*.y*ml")
        for path in ROOT.rglob(pattern)
        if ".venv" not in path.parts
    }
    assert {path.relative_to(ROOT).as_posix() for path in there} <= set(FILES_WITH_IMAGES)


def test_the_security_policy_says_how_and_when() -> None:
    """A private channel, days for an answer and for publication, versions, and what counts."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for wanted in (
        PROJECT["urls"]["Security"],
        "Please don't describe it in a public issue",
        r"**5 days**",
        r"**90 days**",
        "## Supported versions",
        "## What counts",
        "Not a fault of cloudq",
        "docs/explanation/threat-model.md",
        "make audit",
        "make sbom",
    ):
        assert wanted in text
    assert "SECURITY.md" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_threat_model_has_all_parts() -> None:
    """Assets, actors, what rights on a queue give, and what isn't defended."""
    text = (ROOT / "docs/explanation/threat-model.md").read_text(encoding="utf-8")
    assert [
        "What is worth something",
        "Who is there",
        "1. What a right on a queue gives",
        "2. Arguments are input",
        "3. Files are as trusted as the worker",
        "4. What is kept, and where",
        "5. What you have to set",
        "6. For development only",
        "7. What isn't defended",
    ] == re.findall(r"^## (.*)$", text, re.MULTILINE)
    for wanted in ("**The right to write is the right to run.**", "**The right to read**", "(replay)", "strict_queues"):
        assert wanted in text
