"""The workshop of the tests of Terraform's modules, and what they skip for."""

from __future__ import annotations

import pytest

from tests.chaos import conftest as chaos
from tests.integration.sqs import conftest as sqs
from tests.terraform import workshop as shop
from tests.terraform.tools import lacking

place, queue, proxy = sqs.place, sqs.queue, chaos.proxy  # what a run on LocalStack needs


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    """Terraform with stub providers. Where it's missing the test is skipped, or fails if REQUIRE_TF=1."""
    reason = shop.missing()
    if reason is not None:
        lacking(reason)
    with shop.stub_providers() as attached:
        yield shop.Workshop(tmp_path_factory.mktemp("terraform"), attached)
