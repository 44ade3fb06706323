"""What a send gives back."""

from __future__ import annotations

import asyncio
import pickle
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from cloudq import Sent, UnsupportedError
from cloudq.tasks.sent import read_by


def test_only_the_id_is_known_everywhere() -> None:
    """Whether it was a duplicate, and a receipt, depend on the backend."""
    sent = Sent(id="1")
    assert ("1", None, None) == (sent.id, sent.duplicate, sent.receipt)


def test_where_it_is_stays_what_it_is() -> None:
    """One that only this process knows says so also once it knows where its result will be, and when it is pickled."""
    sent = read_by(Sent(id="1", stored=False), Reader())
    assert not sent.stored
    assert Sent(id="1", stored=False) == pickle.loads(pickle.dumps(sent)) != Sent(id="1")  # noqa: S301 - our own bytes


def test_it_is_a_value() -> None:
    """Equal by what it says, hashable, and not to be changed."""
    sent = Sent(id="1", duplicate=False, receipt="r")
    assert sent == Sent(id="1", duplicate=False, receipt="r") != Sent(id="1")
    assert 1 == len({sent, pickle.loads(pickle.dumps(sent))})  # noqa: S301 - our own bytes
    with pytest.raises(AttributeError):
        sent.id = "2"  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("name", ["get", "wait", "revoke"])
def test_words_of_other_task_queues_are_answered_with_ours(name: str) -> None:
    """What waits for a result has another name."""
    with pytest.raises(AttributeError, match=name) as caught:
        getattr(Sent(id="1"), name)
    assert len(str(caught.value)) > len(f"'Sent' object has no attribute {name!r}")


def test_any_other_attribute_is_missing_as_in_python() -> None:
    """And isn't there for `hasattr`."""
    assert not hasattr(Sent(id="1"), "nothing_like_it")


class Reader:
    """Knows one result."""

    def value(self, id_: str, timeout: timedelta) -> Any:
        return id_, timeout

    async def avalue(self, id_: str, timeout: timedelta) -> Any:
        return timeout, id_


def test_it_reads_its_result() -> None:
    """Where its app keeps it; a minute is waited for, if nothing else is said."""
    sent = read_by(Sent(id="1"), Reader())
    assert sent.result() == ("1", timedelta(minutes=1))
    assert asyncio.run(sent.aresult(timedelta(0))) == (timedelta(0), "1")


def test_where_its_result_is_is_no_part_of_it() -> None:
    """It is equal without, and neither shown, nor encoded, nor pickled."""
    sent = read_by(Sent(id="1"), Reader())
    assert sent == Sent(id="1")
    assert repr(sent) == repr(Sent(id="1"))
    assert msgspec.json.encode(sent) == msgspec.json.encode(Sent(id="1"))
    with pytest.raises(UnsupportedError, match="no result is kept") as caught:
        pickle.loads(pickle.dumps(sent)).result()  # noqa: S301 - our own bytes
    assert "cloudq.result" in (caught.value.hint or "")
