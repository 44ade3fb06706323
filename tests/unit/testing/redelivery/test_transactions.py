"""`context.transaction` under at-least-once delivery: the task that has it is right, the one without it isn't."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from cloudq import App
from cloudq.testing.redelivery import Check
from tests.ledger import Ledger

# A run that crashes between opening a connection and its block leaves it to the garbage collector, as a process that
# died leaves it to its system. Python 3.13 warns of that.
pytestmark = [
    pytest.mark.usefixtures("collected"),
    pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """The user's database."""
    return Ledger(tmp_path)


def check_of(app: App, ledger: Ledger, task: str, crash: str) -> Check:
    def reset() -> None:
        with closing(ledger.connect()) as connection:
            connection.executescript("delete from entry; delete from cloudq_inbox")

    calls = [app.tasks[task].call(n=n) for n in (1, 2)]
    return Check(*calls, state=ledger.entries, reset=reset, crash=crash)  # type: ignore[arg-type]


@pytest.mark.parametrize("crash", ["raise", "kill"])
def test_a_transaction_is_right_wherever_it_crashes(ledger: Ledger, crash: str) -> None:
    """Whatever is handed over again, and to stale owners; without the transaction it is found at once."""
    app = App()
    ledger.declare(app)

    @app.task("bare")
    def bare(n: int) -> None:
        with closing(ledger.connect()) as connection:
            connection.execute("insert into entry values (?)", [f"{n}"])
            connection.commit()

    assert check_of(app, ledger, "book", crash).find(seeds=range(40)) is None
    assert check_of(app, ledger, "bare", crash).find(seeds=range(40)) is not None
