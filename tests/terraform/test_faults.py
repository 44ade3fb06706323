"""Faults seeded into the modules are caught, so the checks of the modules check."""

from __future__ import annotations

import pytest

from tests.terraform.faults import FAULTS
from tests.terraform.workshop import Failure, modules

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LEAST_FAULTS = 10


@pytest.mark.parametrize("module", modules())
def test_seeded(module):
    """Every module has ten seeded faults at least."""
    assert len(FAULTS[module]) >= LEAST_FAULTS


def _check(workshop, place, fault):
    """Validates and tests. Refusals of inputs are tried for faults of the variables, the rest for all others."""
    workshop.validate(place)
    refusals = fault.file == "variables.tf"
    names = sorted(path.name for path in (place / "tests").glob("*.tftest.hcl"))
    chosen = [name for name in names if (name == "refusals.tftest.hcl") == refusals]
    workshop.test(place, *(f"-filter=tests/{name}" for name in chosen))


@pytest.mark.parametrize(
    ("module", "fault"),
    [pytest.param(module, fault, id=f"{module}-{fault.says}") for module, faults in FAULTS.items() for fault in faults],
)
def test_caught(workshop, module, fault):
    """A fault makes `validate` or `test` fail, and what Terraform says is about it."""
    place = workshop.copy(module)
    file = place / fault.file
    text = file.read_text()
    assert fault.old in text, "the fault isn't of this module any more"
    file.write_text(text.replace(fault.old, fault.new, 1))
    workshop.init(place)
    with pytest.raises(Failure) as caught:
        _check(workshop, place, fault)
    # Terraform wraps what it says.
    assert fault.caught_by in " ".join(str(caught.value).split())
