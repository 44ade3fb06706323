"""What the documentation says of each error's code, read from the page that travels with the package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

# The project's own address: pyproject.toml's, which has the page.
PROJECT: Final = "https://github.com/cloudq/cloudq"
# Where the page is in the project.
ERRORS_PAGE: Final = "docs/reference/errors.md"
# Where the package has it: see `force-include` in pyproject.toml.
SHIPPED: Final = "errors.md"

_SECTION: Final = re.compile(r"^### `([a-z-]+)` \{ #\1 \}\n+(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\[([^]]+)\]\(([^)]+)\)")


def where(code: str) -> str:
    """How a person gets at what the documentation says of a code: here, and in public."""
    return f"cloudq explain {code}, or {PROJECT}/blob/main/{ERRORS_PAGE}#{code}"


def sections() -> Mapping[str, str]:
    """The text of each code's section, links written out, in the page's order."""
    return {code: _plain(text) for code, text in _SECTION.findall(_page())}


def first_sentence(section: str) -> str:
    """What a list shows of a section: up to its first full stop, on one line."""
    return re.split(r"(?<=\.)\s", " ".join(section.split()), maxsplit=1)[0]


def _page() -> str:
    shipped = files("cloudq.cli").joinpath(SHIPPED)  # perhaps within a zip file
    # A clone, and an editable installation, have the page itself.
    page = shipped if shipped.is_file() else Path(__file__).parents[2] / ERRORS_PAGE
    return page.read_text(encoding="utf-8")


def _plain(text: str) -> str:
    return _LINK.sub(_written_out, text).strip()


def _written_out(link: re.Match[str]) -> str:
    words, target = link.groups()
    if target.startswith("#"):
        return words
    # Relative to the page's own folder.
    path = target.removeprefix("../") if target.startswith("../") else f"reference/{target}"
    return f"{words} (docs/{path})"
