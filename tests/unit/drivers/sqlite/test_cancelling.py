"""Taking back what nobody began."""

import pytest

from cloudq.drivers.sqlite.cancelling import receipt_of


def test_what_waits_is_cancelled_and_the_next_of_its_key_comes(bench, driver):
    """The message is gone, and the one behind it may be received, at once."""
    bench.send(driver, "a1", "a2", queue="q.fifo", ordering_key="a")
    assert driver.cancel("q.fifo", receipt_of(1, "a1"))
    assert ["a2"] == [one.id for one in bench.receive(driver, "q.fifo")]


def test_what_was_handed_over_is_not_cancelled(bench, driver):
    """Nor what isn't there, nor a row of that number with another id or in another queue."""
    bench.send(driver, "a", "b")
    bench.receive(driver, limit=1)
    places = [
        ("q", receipt_of(1, "a")),
        ("q", receipt_of(9, "x")),
        ("q", receipt_of(2, "x")),
        ("p", receipt_of(2, "b")),
    ]
    assert [False] * 4 == [driver.cancel(queue, receipt) for queue, receipt in places]
    assert ["b"] == [one.id for one in bench.receive(driver)]


@pytest.mark.parametrize("receipt", ["", "a", "x-1", "1" * 19 + "-a"])
def test_a_receipt_of_another_backend_is_refused(driver, receipt):
    """It names no row."""
    with pytest.raises(ValueError, match="no receipt"):
        driver.cancel("q", receipt)
