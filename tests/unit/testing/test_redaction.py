"""What `run_all` keeps of errors has no secrets, by the app's own `redact`, as with a worker."""

from __future__ import annotations

from cloudq import App, DeadLetter
from cloudq.testing import in_memory, run_all


def test_secrets_are_taken_out_as_a_worker_does() -> None:
    """In what is noted of a run, and in its dead letter."""
    with in_memory(App(redact=lambda text: text.replace("hunter2", "*"))) as app:

        @app.task("t", track=True)
        def t() -> None:
            raise DeadLetter("hunter2 is wrong")

        told = t.send()
        (dead,) = run_all(app).dead_letters
        assert [app.result(told).reason, dead.failure.reason] == ["* is wrong"] * 2
