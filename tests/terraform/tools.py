"""What the tests take besides Terraform itself, and what becomes of one that lacks something."""

from __future__ import annotations

import os
import shutil
from typing import Final, NoReturn

import pytest

from tests.terraform.workshop import ROOT

# checkov insists on an SDK that is years old, so its environment is its own: `make test-terraform` makes it.
FOLDER: Final = ROOT / ".venv/terraform/bin"


def lacking(reason: str) -> NoReturn:
    """Skips the test, and says why. With REQUIRE_TF=1 it fails instead."""
    if os.environ.get("REQUIRE_TF") == "1":
        pytest.fail(f"REQUIRE_TF=1, and {reason}", pytrace=False)
    pytest.skip(reason)


def tool(name: str) -> str:
    """The path of a program, from the tools' own environment or from PATH.

    Without one the test is skipped; where CI is set it fails, as `make test` installs them.
    """
    found = shutil.which(name, path=f"{FOLDER}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        reason = f"{name} isn't installed: `make terraform-tools` does it"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        lacking(reason)
    return found
