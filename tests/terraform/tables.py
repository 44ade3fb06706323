"""The tables of inputs and outputs in the modules' README files, written from the modules themselves.

python -m tests.terraform.tables
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.terraform.workshop import MODULES, modules

BEGIN: Final = "<!-- tables:begin -->"
END: Final = "<!-- tables:end -->"

_BLOCK: Final = re.compile(r'^(variable|output) "(\w+)" \{\n(.*?)^\}$', re.MULTILINE | re.DOTALL)
_HEREDOC: Final = re.compile(r"description\s+= <<-EOT\n(.*?)^\s*EOT$", re.MULTILINE | re.DOTALL)
_DESCRIPTION: Final = re.compile(r'^  description\s+= "(.*)"$', re.MULTILINE)
_DEFAULT: Final = re.compile(r"^  default\s+= (.+)$", re.MULTILINE)
_TYPE: Final = re.compile(r"^  type\s+= (.+?)$", re.MULTILINE)


class Declared(NamedTuple):
    """A variable or an output."""

    kind: str
    name: str
    description: str
    type: str
    default: str | None


def declared(source: str) -> Iterator[Declared]:
    """What a file of Terraform's declares, in its order."""
    for kind, name, body in _BLOCK.findall(source):
        heredoc = _HEREDOC.search(body)
        one_line = _DESCRIPTION.search(body)
        assert heredoc or one_line, f"{kind} {name} has no description"
        described = textwrap.dedent(heredoc.group(1)).strip() if heredoc else one_line.group(1)
        default, type_ = _DEFAULT.search(body), _TYPE.search(body)
        assert kind == "output" or type_, f"variable {name} has no type"
        shown = type_.group(1) if type_ else ""
        # An object's fields are told in the description.
        shown = re.sub(r"\(?object\(\{$", "(object)" if shown.startswith("map") else "object", shown)
        yield Declared(kind, name, described, shown, default.group(1) if default else None)


def tables(module: Path) -> str:
    """A module's tables, in Markdown."""
    inputs = sorted(declared((module / "variables.tf").read_text()), key=lambda one: one.default is not None)
    outputs = declared((module / "outputs.tf").read_text())
    lines = ["## Inputs", "", "| | type | default | |", "|---|---|---|---|"]
    lines += [
        f"| `{one.name}` | `{one.type}` | {'required' if one.default is None else f'`{one.default}`'} "
        f"| {_cell(one.description)} |"
        for one in inputs
    ]
    lines += ["", "## Outputs", "", "| | |", "|---|---|"]
    lines += [f"| `{one.name}` | {_cell(one.description)} |" for one in outputs]
    return "\n".join(lines)


def with_tables(readme: str, module: Path) -> str:
    """The README with its tables as they should be."""
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    assert begin, f"{module.name}/README.md has no {BEGIN}"
    assert end, f"{module.name}/README.md has no {END}"
    return f"{head}{BEGIN}\n{tables(module)}\n{END}{tail}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n\n- ", "<br>• ").replace("\n- ", "<br>• ").replace("\n", " ")


def main() -> None:
    """Writes the tables of all modules."""
    for module in modules():
        readme = MODULES / module / "README.md"
        readme.write_text(with_tables(readme.read_text(), MODULES / module))


if __name__ == "__main__":
    main()
