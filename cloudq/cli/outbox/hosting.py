"""A relay beside a worker, in one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from cloudq.app import App
from cloudq.cli.outbox.place import concurrency, listen_url, opener, shown_url
from cloudq.cli.output import note
from cloudq.errors import TransientError

# The worker has ended by then: what its last tasks sent is published still, and the service manager waits for that.
PATIENCE: Final = timedelta(seconds=5)


@contextmanager
def relaying(app: App, outbox: str | None, listen: str | None, *, as_json: bool) -> Iterator[None]:
    """Publishes what is in the outbox while the block runs, and what the block's end leaves; without one, nothing.

    Raises:
        ConfigurationError: The outbox, or `listen`, can't be used.
        SchemaMismatch: The outbox has no tables, or those of another version.
    """
    if outbox is None:
        yield
        return
    from cloudq.relay.service import Relay
    from cloudq.relay.settings import RelaySettings

    at_once = concurrency(outbox, RelaySettings().concurrency)
    settings = RelaySettings(concurrency=at_once, listen_url=listen_url(listen))
    relay = Relay(app, opener(app, outbox, None), settings)
    try:
        relay.check()
    except TransientError as error:
        note(f"note: the outbox can't be reached yet: {error.message}")
    if not as_json:
        note(f"  outbox   {shown_url(outbox)}, relayed here")
    relay.start()
    try:
        yield
    finally:
        relay.end(PATIENCE)
