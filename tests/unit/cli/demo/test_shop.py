"""The tasks of the tour on a hosted queue, and the ledger of what they did."""

from __future__ import annotations

import pytest

from cloudq import DeadLetter
from cloudq.cli.demo.shop import app, charge, history, ledger


def test_tasks():
    """An expired card dead-letters until it is renewed; a second run is counted as one."""
    with app.eager():
        charge.send(1)
        charge.send(1)
        with pytest.raises(DeadLetter, match="expired"):
            charge.send(2, expired=True)
        ledger.renewed = True
        charge.send(2, expired=True)
        history.send("ann", 0)
    assert ({1: 2, 2: 1}, {"ann": [0]}, 1) == (ledger.charged, ledger.histories, ledger.repeats)
