"""The API reference in Markdown, written from the docstrings: readable in a clone and on a code host, without a build.

    python -m tests.api_reference --check|--write PAGE...

A page says where something is to stand, and everything up to the closing line is written:

    <!-- api: cloudq.Task -->
    <!-- /api -->

Public members of a class or a module follow it, in the order of the source. `make check` refuses what isn't current.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import griffe

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = tuple(
    ROOT / "docs/reference" / name
    for name in ("api.md", "testing.md", "cloud-tasks-emulator.md", "service-bus-emulator.md")
)
SLOT: Final = re.compile(r"^<!-- api: (?P<name>[\w.]+) -->\n(?P<old>.*?)^<!-- /api -->$", re.MULTILINE | re.DOTALL)
LONGEST_SIGNATURE: Final = 96
# Where a class is written in several files, each a base of the next: the reference has it in one piece.
IN_SIDES: Final = "cloudq.app."
# griffe's own names for the parts of a docstring, and what they are called here.
LISTS: Final = {"parameters": "Parameters", "other parameters": "Other parameters", "attributes": "Attributes"}
OUTCOMES: Final = {"returns": "Returns", "yields": "Yields", "raises": "Raises"}


def rewritten(text: str) -> str:
    """The page with every slot written anew."""
    return SLOT.sub(_slot, text)


def anchor(path: str) -> str:
    """What a link to something ends with: `api.md#cloudq.App.task` for `cloudq.App.task`."""
    return f'<a id="{path}"></a>'


def _slot(match: re.Match[str]) -> str:
    name = match["name"]
    lines = "\n".join(_described(_found(name), name, level=3)).strip()
    return f"<!-- api: {name} -->\n\n{lines}\n\n<!-- /api -->"


@cache
def _package() -> Any:
    return griffe.load("cloudq", search_paths=[str(ROOT)])


def _found(name: str) -> Any:
    found: Any = _package()[name.removeprefix("cloudq.")]
    return found.final_target if found.is_alias else found


def _described(thing: Any, path: str, *, level: int) -> Iterator[str]:
    if thing.is_module:
        for member in _public(thing):
            yield from _described(member, f"{path}.{member.name}", level=level)
        return
    yield from (anchor(path), f"{'#' * level} {path.removeprefix('cloudq.') if level > 3 else path}", "")
    yield from _signature(thing)
    yield from _docstring(thing)
    if thing.is_class:
        for member in _public(thing):
            yield from _described(member, f"{path}.{member.name}", level=level + 1)


def _public(thing: Any) -> Iterator[Any]:
    if thing.is_class and thing.path.startswith(IN_SIDES):
        for base in thing.resolved_bases:
            yield from (member for member in _public(base) if member.name not in thing.members)
    # What has no docstring is explained by that of the class, under "Attributes".
    for name, member in thing.members.items():
        if not name.startswith("_") and not member.is_alias and member.docstring is not None:
            yield member


def _signature(thing: Any) -> Iterator[str]:
    if thing.is_class:
        bases = f"({', '.join(map(str, thing.bases))})" if thing.bases else ""
        signatures = [f"class {thing.name}{_parameters(thing)}" if thing.parameters else f"class {thing.name}{bases}"]
    elif thing.is_function:
        functions = thing.overloads or [thing]
        # "async" is a label that overloads don't carry.
        start = "async def " if "async" in thing.labels else "def "
        signatures = [start + _wrapped(function.signature()) for function in functions]
    else:
        kind = f": {thing.annotation}" if thing.annotation is not None else ""
        value = f" = {thing.value}" if thing.value is not None and not thing.is_function and not kind else ""
        signatures = [f"{thing.name}{kind}{value}"] if "property" not in thing.labels else [f"{thing.name}{kind}"]
    yield from ("```py", *signatures, "```", "")


def _parameters(thing: Any) -> str:
    signature = thing.members["__init__"].signature() if "__init__" in thing.members else ""
    inner = re.sub(r"\bself(?:, )?", "", signature.removeprefix("__init__").removesuffix(" -> None"), count=1)
    return _wrapped(inner)


def _wrapped(signature: str) -> str:
    """One parameter a line, where all of them are too long for one."""
    if len(signature) <= LONGEST_SIGNATURE:
        return signature
    start = signature.index("(") + 1
    depth, pieces, last = 1, [], start
    for place in range(start, len(signature)):
        letter = signature[place]
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0 or (letter == "," and depth == 1):
            pieces.append(signature[last:place].strip())
            last = place + 1
        if depth == 0:
            break
    return signature[:start] + "".join(f"\n    {piece}," for piece in pieces if piece) + "\n)" + signature[last:]


def _docstring(thing: Any) -> Iterator[str]:
    if thing.docstring is None:
        return
    for section in thing.docstring.parse("google", warnings=False):
        kind = section.kind.value
        if kind == "text":
            yield from (_prose(section.value), "")
        elif kind in LISTS:
            yield from (f"{LISTS[kind]}:", "")
            yield from (f"- `{item.name}`: {_one_line(item.description)}" for item in section.value)
            yield ""
        elif kind in OUTCOMES:
            yield from _outcome(OUTCOMES[kind], section.value)
        elif kind == "examples":
            yield from ("Example:", "")
            yield from (_prose(str(text)) for _, text in section.value)
            yield ""
        elif kind == "admonition":
            yield from (f"{section.title}:", "", _prose(section.value.contents), "")
        else:
            raise SystemExit(f"{thing.path}: a docstring's part {kind!r} isn't known here")


def _outcome(title: str, items: Sequence[Any]) -> Iterator[str]:
    if title == "Raises":
        yield from ("Raises:", "")
        yield from (f"- `{item.annotation}`: {_one_line(item.description)}" for item in items)
    else:
        yield f"{title}: {' '.join(_one_line(item.description) for item in items)}"
    yield ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _prose(text: str) -> str:
    # The documentation's own ```python blocks are run by the tests; these are parts of programs.
    return re.sub(r"^( *)```python\b", r"\1```py", text.strip(), flags=re.MULTILINE)


def main(arguments: Sequence[str]) -> int:
    """Writes the pages, or says which of them aren't current."""
    parser = argparse.ArgumentParser(prog="python -m tests.api_reference", description="The API reference in Markdown.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="say which pages aren't current")
    what.add_argument("--write", action="store_true", help="write them")
    parser.add_argument("pages", nargs="*", type=Path, default=PAGES)
    given = parser.parse_args(arguments)
    stale = []
    for page in given.pages:
        text = page.read_text(encoding="utf-8")
        new = rewritten(text)
        if given.write:
            page.write_text(new, encoding="utf-8")
        elif new != text:
            stale.append(page.name)
    if stale:
        print(f"not current: {', '.join(stale)}; `make api` writes them from the docstrings", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
