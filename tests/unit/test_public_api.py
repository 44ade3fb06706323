"""The package's public names: all of them load, and none is a module's."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import cloudq
import cloudq.testing

PACKAGES = pytest.mark.parametrize("package", [cloudq, cloudq.testing], ids=lambda package: package.__name__)


def imported_for_type_checkers(package) -> dict[str, str]:
    """Name to home, from the source's `if TYPE_CHECKING:` block."""
    tree = ast.parse(Path(package.__file__).read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    return {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}


@PACKAGES
def test_every_public_name_loads_from_the_home_that_type_checkers_see(package):
    """`__all__`, the lazy table and the imports under TYPE_CHECKING agree."""
    homes = imported_for_type_checkers(package)
    assert homes == package._HOME_OF
    assert sorted(set(package.__all__) - {"__version__"}) == sorted(homes)
    for name, home in homes.items():
        assert getattr(package, name) is getattr(importlib.import_module(home), name)


@PACKAGES
def test_dir_lists_every_public_name(package):
    """Loaded or not."""
    assert set(package.__all__) <= set(dir(package))
    assert len(set(package.__all__)) == len(package.__all__)


@PACKAGES
def test_no_public_name_is_that_of_a_module(package):
    """Importing a module sets the name on its package: whichever came last would win."""
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert set() == modules & set(package.__all__)


@PACKAGES
def test_an_unknown_name_is_an_attribute_error(package):
    """As of any module."""
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nobody'"):
        _ = package.nobody


@pytest.mark.slow
def test_so_it_is_where_nothing_else_is_loaded():
    """As a program's first word of cloudq; and a room that isn't loaded yet is imported."""
    asked = "import cloudq\ntry: cloudq.nobody\nexcept AttributeError: print('no such name')\nfrom cloudq import push"
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60, check=False)
    assert ("no such name\n", 0) == (ran.stdout, ran.returncode), ran.stderr[-500:]


def test_the_designs_names_are_there():
    """What the documentation promises at the top level."""
    functions = {"task", "send", "asend", "send_many", "asend_many", "cancel", "acancel", "configure", "current"}
    types = {"App", "Task", "Context", "RetryPolicy", "Sent", "Call", "Retry", "DeadLetter"}
    assert functions | types <= set(cloudq.__all__)
