"""The AWS module with the real provider, where a mirror of it is at hand: TF_MIRROR names the folder."""

from __future__ import annotations

import os
import re

import pytest

from tests.terraform import workshop as shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def mirrored(tmp_path):
    """Terraform with the providers of TF_MIRROR. Without one the test is skipped: `make test-terraform` says how."""
    mirror = os.environ.get("TF_MIRROR")
    if not mirror:
        pytest.skip("TF_MIRROR names no mirror of the real AWS provider (terraform providers mirror)")
    reason = shop.missing()
    assert reason is None, reason
    return shop.Workshop(tmp_path, mirror=mirror)


def test_aws(mirrored):
    """`validate` and `test` pass with the real provider. One before 6.8 refuses 1 MiB: then 256 KiB stand for it."""
    place = mirrored.copy("aws-sqs")
    [binary] = mirrored.mirror.glob("*/hashicorp/aws/*/*/terraform-provider-aws*")
    major, minor = map(int, binary.parents[1].name.split(".")[:2])
    if (major, minor) < (6, 8):
        (place / "versions.tf").write_text((place / "versions.tf").read_text().replace(">= 6.8", f">= {major}.{minor}"))
        for path in [*place.glob("*.tf"), *place.glob("tests/*.hcl")]:
            path.write_text(re.sub(r"\b1048576\b", "262144", path.read_text()))
    mirrored.init(place)
    mirrored.validate(place)
    assert mirrored.test(place) > 20
