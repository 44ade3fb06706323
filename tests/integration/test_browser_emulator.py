"""A page in a real Chromium can't write to the Service Bus emulator, neither as a client nor as an administrator."""

from __future__ import annotations

import pytest

from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from tests.browser import visited

pytestmark = pytest.mark.slow

ENTRY = '<entry xmlns="http://www.w3.org/2005/Atom"><content type="application/xml"/></entry>'


def attempts_at(host: str, port: int, admin: int) -> dict[str, str]:
    """A handshake of a WebSocket, which no rule of the browser keeps from another origin; and a queue to be made."""
    made = f"const r = await fetch('http://{host}:{admin}/made?api-version=2021-05', OPTIONS); return r.type;"
    return {
        "websocket": f"""return await new Promise((done) => {{
            const s = new WebSocket('ws://{host}:{port}/$servicebus/websocket', 'AMQPWSB10');
            s.onopen = () => done('open'); s.onerror = () => done('refused');
        }});""",
        "put": made.replace("OPTIONS", f"{{method: 'PUT', body: '{ENTRY}'}}"),
        "post": made.replace("OPTIONS", f"{{method: 'POST', mode: 'no-cors', body: '{ENTRY}'}}"),
        "get": made.replace("OPTIONS", "{mode: 'no-cors'}"),
    }


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "shop.example"], ids=["address", "localhost", "own name"])
@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "guards off"])
def test_no_page_writes_to_the_emulator(host: str, guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By address, as localhost, and by a name of the page's own. Without the guard the WebSocket opens."""
    if not guarded:
        for place in ("server.websocket", "admin.app"):
            monkeypatch.setattr(f"cloudq.emulators.service_bus.{place}.why_refused", lambda *_: None)
    with ServiceBusEmulator() as emulator:
        assert emulator.admin_url is not None
        admin = int(emulator.admin_url.rpartition(":")[2])
        made = visited(attempts_at(host, emulator.port, admin))
        queues = emulator.call(lambda: list(emulator._broker.entities.queues()))
    assert ("refused" if guarded else "open") == made["websocket"], made
    assert [] == queues, made
