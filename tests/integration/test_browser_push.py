"""A page in a real Chromium runs no task on a push worker that asks for no tokens, by whichever way it tries."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from cloudq import App
from cloudq.push import PushSettings
from cloudq.push.outsiders import refuse_outsiders
from tests.browser import visited
from tests.unit.push.test_server import running

pytestmark = pytest.mark.slow

EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"n": 1}}
WRAPPED = {
    "message": {"data": base64.b64encode(json.dumps(EVENT).encode()).decode(), "messageId": "1", "publishTime": ""},
    "subscription": "projects/p/subscriptions/s",
}


def attempts_at(url: str) -> dict[str, str]:
    """Each way that a page has to send something: what is sent is an event, and the same in Pub/Sub's wrapper."""
    event, wrapped = json.dumps(json.dumps(EVENT)), json.dumps(json.dumps(WRAPPED))
    to = json.dumps(url)

    def fetched(body: str, options: str) -> str:
        return (
            f"const r = await fetch({to}, {{method: 'POST', body: {body}, {options}}}); return r.type + ' ' + r.status;"
        )

    typed = "headers: {'Content-Type': 'application/cloudevents+json'}"
    return {
        "no-cors": fetched(wrapped, "mode: 'no-cors'"),
        "no-cors event": fetched(event, "mode: 'no-cors'"),
        "no-cors without a type": fetched(f"new Blob([{wrapped}])", "mode: 'no-cors'"),
        "no-cors, no referrer, no credentials": fetched(
            wrapped, "mode: 'no-cors', referrerPolicy: 'no-referrer', credentials: 'omit', keepalive: true"
        ),
        "cors": fetched(event, typed),
        "cors, simple": fetched(wrapped, "mode: 'cors'"),
        "binary": fetched("'{}'", "headers: {'ce-specversion': '1.0', 'ce-id': '1', 'ce-type': 't'}"),
        "beacon": f"return navigator.sendBeacon({to}, {wrapped});",
        "typed beacon": f"return navigator.sendBeacon({to}, new Blob([{event}], {{type: 'application/json'}}));",
        "xhr": f"""return await new Promise((done) => {{
            const x = new XMLHttpRequest(); x.open('POST', {to}); x.onloadend = () => done(x.status); x.send({wrapped});
        }});""",
        "form": f"""return await new Promise((done) => {{
            const frame = document.createElement('iframe'); frame.name = 'f'; frame.onload = () => done('loaded');
            const form = document.createElement('form');
            form.method = 'POST'; form.action = {to}; form.target = 'f'; form.enctype = 'text/plain';
            const field = document.createElement('input');
            field.name = {wrapped}.slice(0, -1) + ',"x":"'; field.value = '"}}';
            form.append(field); document.body.append(frame, form); form.submit(); setTimeout(() => done('sent'), 3000);
        }});""",
        "sandboxed": f"""return await new Promise((done) => {{
            const frame = document.createElement('iframe'); frame.sandbox = 'allow-scripts';
            const code = 'fetch(' + JSON.stringify({to}) + ', {{method: "POST", mode: "no-cors", body: '
                + JSON.stringify({wrapped}) + '}}).then(() => parent.postMessage("sent", "*"))';
            addEventListener('message', (m) => done(m.data), {{once: true}});
            frame.srcdoc = '<script>' + code + '</scr' + 'ipt>';
            document.body.append(frame); setTimeout(() => done('no answer'), 3000);
        }});""",
        "worker": f"""return await new Promise((done) => {{
            const code = 'fetch(' + JSON.stringify({to}) + ', {{method: "POST", mode: "no-cors", body: '
                + JSON.stringify({wrapped}) + '}}).then(() => postMessage("sent"), (e) => postMessage("" + e))';
            const w = new Worker(URL.createObjectURL(new Blob([code])));
            w.onmessage = (m) => done(m.data); setTimeout(() => done('no answer'), 3000);
        }});""",
    }


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "shop.example"], ids=["address", "localhost", "own name"])
@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "guards off"])
def test_no_page_runs_a_task(tmp_path: Path, host: str, guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By address, as localhost, and by a name of the page's own: nothing runs. Without the guards something does."""
    seen: list[dict[str, str]] = []

    def look(headers: dict[str, str]) -> None:
        seen.append(headers)
        if guarded:
            refuse_outsiders(headers)

    monkeypatch.setattr("cloudq.push.edge.refuse_outsiders", look)
    app = App(f"sqlite:///{tmp_path}/q.db")
    ran: list[int] = []

    @app.task("t")
    def task(n: int = 0) -> None:
        ran.append(n)

    with running(app, PushSettings(insecure_no_auth=True)) as worker:
        made = visited(attempts_at(f"http://{host}:{worker.worker.address[1]}/"))
        assert len(made) == len(attempts_at(""))
        sent = [headers for headers in seen if "origin" in headers]
        assert sent, f"the page reached the server: {made}"
        if guarded:
            assert [] == ran
        else:
            assert ran, made
