"""The example of thumbnails in FastAPI, as its README says."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from tests.readme_commands import ROOT, carried_out

FOLDER = ROOT / "docs/examples/thumbnails"

pytestmark = pytest.mark.slow


def test_what_its_readme_says_is_so(tmp_path) -> None:
    """Thumbnails of real images, upright; what is broken is a dead letter; its own tests pass."""
    printed = carried_out(FOLDER, tmp_path, ports=["8000"])
    with Image.open(tmp_path / "photo.jpg-128.jpeg") as small:
        assert ("JPEG", (85, 128)) == (small.format, small.size)
    with Image.open(tmp_path / "gallery/logo.png.512.jpeg") as logo:
        assert (255, 255, 255) == logo.getpixel((0, 0))
    letters = [json.loads(line) for line in printed.pop("cloudq dlq list --json").splitlines()]
    assert [128, 512] == sorted(letter["message"]["payload"]["size"] for letter in letters)
    assert all(letter["reason"].startswith("broken.jpg can't be read as an image") for letter in letters)
    assert " passed" in printed.pop("python -m pytest -q")
    # The README shows what each of the others prints.
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for text in printed.values():
        assert all(line in readme for line in text.splitlines() if line != "---"), text
    assert 6 == sum(text.count("202 ") + text.count("200 ") for text in printed.values())
