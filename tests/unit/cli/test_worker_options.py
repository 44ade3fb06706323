"""How the options of `cloudq worker` are read."""

from __future__ import annotations

import pytest

from cloudq.cli.worker_options import EVERYWHERE, address, weights
from cloudq.errors import ConfigurationError


def test_queues_have_the_weight_that_is_said() -> None:
    """1 where none is; in the order in which they are named."""
    assert [("emails", 5), ("reports", 1)] == list(weights(["emails=5", "reports"], strict=False).items())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8080", (EVERYWHERE, 8080)),
        ("0", (EVERYWHERE, 0)),
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:8080", ("::1", 8080)),
        (":8080", (EVERYWHERE, 8080)),
    ],
)
def test_address(text, expected):
    """A bare port is served everywhere, HOST:PORT there."""
    assert expected == address(text)


@pytest.mark.parametrize("text", ["", "x", "localhost", "1:2:x", "-1", "65536", "٣"])
def test_no_address(text):
    """Anything else is refused."""
    with pytest.raises(ConfigurationError):
        address(text)
