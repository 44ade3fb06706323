"""The deployment pages show the files that are tested, and are about all of them."""

from __future__ import annotations

import re

import pytest

from tests.terraform.pages import PAGES, shown, with_files
from tests.terraform.workshop import MODULES, ROOT, examples

SHOWING = [page for page in sorted(PAGES.glob("*.md")) if shown(page.read_text(encoding="utf-8"))]
DEPLOYMENTS = [(module, example) for module, example in examples() if example not in {"minimal", "complete"}]
# What a page has to say, whatever it deploys to.
HEADINGS = ("## Environment and rights", "## Stopping", "## Health", "## Scaling", "## What is checked")


@pytest.mark.parametrize("page", SHOWING, ids=lambda page: page.name)
def test_blocks_are_the_files(page):
    """What a page shows of a file is the file, as `python -m tests.terraform.pages` writes it."""
    text = page.read_text(encoding="utf-8")
    assert with_files(text) == text


def test_a_block_that_differs_is_found():
    """A block is replaced by its file, whatever stood in it; the rest of the page stays."""
    file = "docs/how-to/containers/.dockerignore"
    page = f'before\n\n```text title="{file}"\nold\n```\n\nafter\n'
    assert shown(page) == {file: "old\n"}
    assert with_files(page) == page.replace("old\n", (ROOT / file).read_text(encoding="utf-8"))


@pytest.mark.parametrize(("module", "example"), DEPLOYMENTS)
def test_each_example_has_its_page(module, example):
    """Each file of a deployment's example is shown on a page, or linked where it isn't."""
    folder = MODULES / module / "examples" / example
    texts = [page.read_text(encoding="utf-8") for page in sorted(PAGES.glob("deploy-*.md"))]
    [text] = [text for text in texts if f"terraform/{module}/examples/{example}/" in text]
    named = {path.rpartition("/")[2] for path in shown(text) if f"/{example}/" in path}
    named |= set(re.findall(rf"`{example}/([\w.-]+)`", text))
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == named


@pytest.mark.parametrize("page", sorted(PAGES.glob("deploy-*.md")), ids=lambda page: page.name)
def test_each_page_says_what_a_deployment_needs(page):
    """Environment and rights, stopping, health, scaling, and what of it was only checked, not run."""
    text = page.read_text(encoding="utf-8")
    assert [heading for heading in HEADINGS if f"\n{heading}\n" not in text] == []
    assert "None of this has been run on" in " ".join(text.partition(HEADINGS[-1])[2].split())
