"""The names that the room of pushes shows."""

from __future__ import annotations

import pytest

import cloudq
import cloudq.push
from tests.unit.push.fakes import OPEN


def test_names():
    """The public names are there, and no others."""
    assert set(cloudq.push.__all__) == set(dir(cloudq.push))
    for name in cloudq.push.__all__:
        assert getattr(cloudq.push, name) is not None
    with pytest.raises(AttributeError):
        _ = cloudq.push.nobody
    assert OPEN.insecure_no_auth
