"""`python -c THIS LEASE PAGE MOST dlq redrive ...`: the command itself, with shorter leases, so that nobody waits long.

With small batches, so that a kill finds it at many places: SQLite writes a hundred in the time that a kill takes to
come. After so many letters it stands still: whoever is to kill it may be late.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import timedelta

from cloudq.cli import main
from cloudq.core.delivery import Delivery
from cloudq.queues.letters import redriving

lease, page, most = (float(sys.argv.pop(1)) for _ in range(3))
redriving.LEASE = timedelta(seconds=lease)
redriving._HALF = redriving.LEASE / 2
redriving._MARGIN = redriving.LEASE / 4
redriving.PAGE = int(page)
redriving._MANY = 50
send = redriving.Redriver._send
sent = [0]


def send_no_more_than_that(redriver: redriving.Redriver, batch: Sequence[Delivery]) -> None:
    """As it is, and then no more."""
    if sent[0] >= most:
        time.sleep(300)
    sent[0] += len(batch)
    send(redriver, batch)


redriving.Redriver._send = send_no_more_than_that  # type: ignore[method-assign]
if "sqs" in sys.argv[-1]:
    from cloudq.drivers.sqs import dead_letters

    dead_letters.LOOK_LEASE = redriving.LEASE
sys.exit(main())
