"""Every module and example is formatted, valid against its provider's schema, and passes its own tests."""

from __future__ import annotations

import re

import pytest

from tests.terraform.workshop import MODULES, examples, modules

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LEAST_ASSERTIONS = 12
FILES = ("main.tf", "variables.tf", "outputs.tf", "versions.tf", "README.md", "examples/minimal", "examples/complete")


def test_formatted(workshop):
    """All files are as `terraform fmt` writes them."""
    workshop.run(MODULES, "fmt", "-check", "-recursive", "-diff")


@pytest.mark.parametrize("module", modules())
def test_whole(module):
    """A module has all its parts, and tests with at least twelve assertions, among them refusals of wrong inputs."""
    for name in FILES:
        assert (MODULES / module / name).exists()
    tests = "".join(path.read_text() for path in (MODULES / module / "tests").glob("*.tftest.hcl"))
    refusals = tests.count("expect_failures")
    assert len(re.findall(r"^\s+assert \{", tests, re.MULTILINE)) + refusals >= LEAST_ASSERTIONS
    assert refusals >= 6


@pytest.mark.parametrize("module", modules())
def test_passes_its_tests(workshop, module):
    """`terraform init`, `validate` and `test` pass, and no run is left out."""
    place = workshop.copy(module)
    workshop.init(place)
    workshop.validate(place)
    runs = sum(path.read_text().count("\nrun ") for path in (place / "tests").glob("*.tftest.hcl"))
    assert workshop.test(place) == runs


@pytest.mark.parametrize(("module", "example"), examples())
def test_examples(workshop, module, example):
    """An example initialises, validates, and can be planned as it is."""
    place = workshop.copy(module) / "examples" / example
    workshop.init(place)
    workshop.validate(place)
    assert workshop.plan(place)["resource_changes"]
