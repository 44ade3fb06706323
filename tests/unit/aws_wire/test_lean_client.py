"""What the lean clients of all services have in common."""

from __future__ import annotations

from unittest import mock

import pytest

from cloudq.aws_wire.lean_client import LeanClient


@pytest.fixture
def parts():
    """A client, whose wire and botocore client only note what they are asked."""
    with mock.patch("cloudq.aws_wire.lean_client.Wire", autospec=True) as wire:
        botocore = mock.Mock()
        yield LeanClient(botocore, {"Send": dict}), wire, botocore


def test_the_wire_is_for_the_operations_that_are_named(parts) -> None:
    """All else is the botocore client's own."""
    lean, wire, botocore = parts
    wire.assert_called_once_with(botocore, {"Send": dict})
    assert lean.list_queues is botocore.list_queues


def test_both_are_closed(parts) -> None:
    """So that neither keeps a connection open."""
    lean, wire, botocore = parts
    lean.close()
    wire.return_value.close.assert_called_once_with()
    botocore.close.assert_called_once_with()
