"""What a relay asks of an outbox, the outbox has."""

from __future__ import annotations

import inspect

from cloudq.outbox.reading import Batch, OutboxReader
from cloudq.relay import source


def test_the_outbox_has_what_is_asked() -> None:
    """The real ones take the same parameters under the same names; mypy checks their types where they are passed."""
    for asked, real in ((source.Batch.settle, Batch.settle), (source.Reader.take, OutboxReader.take)):
        assert list(inspect.signature(asked).parameters) == list(inspect.signature(real).parameters)
