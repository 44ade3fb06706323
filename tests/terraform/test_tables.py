"""The README files' tables are those of the variables and outputs."""

from __future__ import annotations

import re

import pytest

from tests.terraform.tables import declared, with_tables
from tests.terraform.workshop import MODULES, modules


@pytest.mark.parametrize("module", modules())
def test_current(module):
    """A README has the module's inputs and outputs, as `python -m tests.terraform.tables` writes them."""
    readme = (MODULES / module / "README.md").read_text()
    assert with_tables(readme, MODULES / module) == readme


def test_declared():
    """A variable's name, description, type and default are read; an object's fields are told in its description."""
    source = (
        'variable "queues" {\n  description = <<-EOT\n    The queues.\n\n    - `a`: x\n  EOT\n'
        '  type = map(object({\n    a = string\n  }))\n}\n\nvariable "name" {\n  description = "The name."\n'
        '  type        = string\n  default     = "cloudq"\n}\n'
    )
    queues, name = declared(source)
    assert ("queues", "The queues.\n\n- `a`: x", "map(object)", None) == queues[1:]
    assert ("name", "The name.", "string", '"cloudq"') == name[1:]


def test_a_description_is_needed():
    """A variable without a description is refused."""
    with pytest.raises(AssertionError, match="variable name has no description"):
        list(declared('variable "name" {\n  type = string\n}\n'))


@pytest.mark.parametrize("module", modules())
def test_validated(module):
    """Each variable has a validation, but for those that are either true or false."""
    for block in (MODULES / module / "variables.tf").read_text().split("\nvariable ")[1:]:
        assert "  validation {" in block or re.search(r"^  type +=[ ]bool$", block, re.MULTILINE), block
