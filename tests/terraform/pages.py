"""The pages' blocks that show a file: written from the files themselves.

python -m tests.terraform.pages

A block whose title is a path from the repository's root is that file, whole.
"""

from __future__ import annotations

import re
from typing import Final

from tests.terraform.workshop import ROOT

PAGES: Final = ROOT / "docs" / "how-to"
SHOWN: Final = re.compile(r'^(```\w+ title="([\w.-]+/[\w./-]+)")\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def shown(text: str) -> dict[str, str]:
    """What a page shows: by the file's path, what stands in the block."""
    return {path: block for _, path, block in SHOWN.findall(text)}


def with_files(text: str) -> str:
    """The page with its blocks as the files are."""

    def block(found: re.Match[str]) -> str:
        return f"{found[1]}\n{(ROOT / found[2]).read_text(encoding='utf-8')}```"

    return SHOWN.sub(block, text)


def main() -> None:
    """Writes the blocks of all pages."""
    for page in sorted(PAGES.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if shown(text):
            page.write_text(with_files(text), encoding="utf-8")


if __name__ == "__main__":
    main()
