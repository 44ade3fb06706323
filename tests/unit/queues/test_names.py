"""The names that a queue may have."""

from __future__ import annotations

import pytest

from cloudq.errors import OptionError
from cloudq.queues.names import check_queue, check_queue_name


@pytest.mark.parametrize("name", ["q", "orders.fifo", "a/b", "https://sqs.eu/1/q", "_q", "q" * 256])
def test_a_name_is_taken_as_it_is(name: str) -> None:
    """URLs and paths are names, too."""
    assert name == check_queue(name) == check_queue_name(name)


@pytest.mark.parametrize("name", ["", "-q", ".q", "q q", "ä", "q\n", "q" * 257, None, 7, b"q"])
def test_what_is_no_name_is_refused(name: object) -> None:
    """Before any backend is asked."""
    for check in (check_queue, check_queue_name):
        with pytest.raises(OptionError, match="is not the name of a queue"):
            check(name)


@pytest.mark.parametrize("name", ["q-dlq", "q-dlq.fifo"])
def test_nothing_is_sent_to_a_dead_letter_queue(name: str) -> None:
    """It may be looked at."""
    assert name == check_queue_name(name)
    with pytest.raises(OptionError, match="dead-letter queue"):
        check_queue(name)
