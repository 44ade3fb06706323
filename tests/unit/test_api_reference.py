"""How the API reference is written; that it is current is a part of `make check`."""

from __future__ import annotations

import re

from tests.api_reference import PAGES, ROOT, main, rewritten

SLOT = "<!-- api: {} -->\n<!-- /api -->"


def test_a_page_that_is_not_current_is_refused_and_written(tmp_path, capsys):
    """The check names it and the target that writes it; afterwards it is current."""
    page = tmp_path / "page.md"
    page.write_text(f"Before\n\n{SLOT.format('cloudq.Sent')}\n\nAfter\n", encoding="utf-8")
    assert main(["--check", str(page)]) == 1
    assert "page.md; `make api`" in capsys.readouterr().err
    assert main(["--write", str(page)]) == 0
    assert main(["--check", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("Before\n")
    assert text.endswith("\nAfter\n")


def test_a_class_is_shown_with_its_members_signatures_and_errors():
    """In the order of the source, overloads one by one, long signatures one parameter a line."""
    text = rewritten(SLOT.format("cloudq.App"))
    assert '<a id="cloudq.App.send"></a>\n#### App.send\n' in text
    assert (
        "def send(\n    task: Task[..., Any] | str | Call,\n    payload: Mapping[str, object] = NO_PAYLOAD,\n" in text
    )
    assert "async def asend(" in text
    assert 3 == text.partition("#### App.task\n")[2].partition("####")[0].count("def task(")
    assert "- `MessageTooLarge`: Nothing was stored." in text
    assert "#### App._message" not in text
    assert text.index("#### App.configure") < text.index("#### App.send") < text.index("#### App.close")


def test_a_module_is_shown_by_what_is_in_it():
    """Its public functions, without a heading of its own."""
    text = rewritten(SLOT.format("cloudq.testing.profiles"))
    assert "### cloudq.testing.profiles.sqs_like" in text
    assert "### cloudq.testing.profiles\n" not in text


def test_no_page_has_a_stub_that_only_a_build_fills():
    """What a reader of the repository sees is all there is."""
    stubs = [path.name for path in (ROOT / "docs").rglob("*.md") if re.search(r"^::: ", path.read_text(), re.MULTILINE)]
    assert stubs == []
    assert all("```py\n" in page.read_text(encoding="utf-8") for page in PAGES)


def test_links_to_members_lead_somewhere():
    """Each `#cloudq....` that a page of the documentation links is written."""
    anchors = {name for page in PAGES for name in re.findall(r'<a id="([\w.]+)">', page.read_text(encoding="utf-8"))}
    linked = {
        name for path in (ROOT / "docs").rglob("*.md") for name in re.findall(r"#(cloudq\.[\w.]+)\)", path.read_text())
    }
    assert linked
    assert linked <= anchors
