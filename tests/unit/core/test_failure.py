"""`Failure`: what is kept of an error, whatever the error is, in the room that there is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudq.core.failure import MAX_FAILURE_BYTES, Failure, text_of
from cloudq.errors import UndecodableError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
short = st.text(max_size=200)
times = st.none() | st.datetimes(timezones=st.just(UTC))
counts = st.integers(0, 2**31 - 1)


def raised(error: BaseException) -> BaseException:
    """The error with a traceback."""
    try:
        raise error
    except BaseException as caught:
        return caught


def failures(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Failure]:
    maybe = st.none() | texts
    return st.builds(
        Failure, reason=texts, error_type=maybe, error_message=maybe, traceback=maybe, worker=maybe,
        attempts=counts, deliveries=counts, generation=counts, first_at=times, last_at=times,
    )  # fmt: skip


storable = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
# Escaped by JSON to six bytes, four bytes in UTF-8, and half of a surrogate pair.
long_texts = st.builds(
    lambda text, times: text * times, st.text("a\x00é😀\ud800", min_size=1, max_size=4), st.integers(1, 9_000)
)


@given(failures(storable))
def test_what_fits_comes_back_unchanged(failure: Failure) -> None:
    """Encoded and decoded, every field is as it was."""
    assert failure == Failure.decode(failure.encode())


@given(failures(long_texts | short))
@settings(max_examples=200, deadline=None)
def test_whatever_it_holds_it_fits(failure: Failure) -> None:
    """Cut until it fits beside a message (semantics 6); counts and times are never cut."""
    encoded = failure.encode()
    assert len(encoded) <= MAX_FAILURE_BYTES
    kept = Failure.decode(encoded)
    assert (failure.attempts, failure.deliveries, failure.generation) == (
        kept.attempts,
        kept.deliveries,
        kept.generation,
    )
    assert (failure.first_at, failure.last_at) == (kept.first_at, kept.last_at)


def test_the_traceback_is_cut_first_and_from_its_beginning() -> None:
    """The end of a traceback says most; the reason and the message are kept while it can be shortened."""
    failure = Failure(reason="why", error_type="T", error_message="m" * 1_000, traceback="\x00" * 4_000 + "the end")
    kept = Failure.decode(failure.encode())
    assert ("why", "T", "m" * 1_000) == (kept.reason, kept.error_type, kept.error_message)
    assert kept.traceback is not None
    assert kept.traceback.endswith("the end")


def test_the_encoded_form() -> None:
    """JSON by the field's names, defaults left out: part of the wire format."""
    failure = Failure(reason="boom", error_type="ValueError", attempts=2, first_at=NOW, generation=1)
    expected = {
        "reason": "boom", "error_type": "ValueError", "attempts": 2,
        "first_at": "2026-01-01T00:00:00Z", "generation": 1,
    }  # fmt: skip
    assert expected == json.loads(failure.encode())


def test_members_of_a_later_version_are_ignored() -> None:
    """An older worker can read what a newer one wrote."""
    assert Failure(reason="r") == Failure.decode('{"reason":"r","later":[1]}')


@pytest.mark.parametrize(
    "encoded",
    [
        *(b"", b"{}", b"[]", b'{"reason":1}', b'{"reason":"\xff"}', '{"reason":"\ud800"}'),
        b'{"reason":"r","x":' + b"[" * 99_999,
    ],
)
def test_what_is_no_failure_is_refused(encoded: bytes | str) -> None:
    """Anything else is an `UndecodableError`, so that a driver can carry on without it."""
    with pytest.raises(UndecodableError, match="the failure details can't be read"):
        Failure.decode(encoded)


# ── of an error ──────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_kept_of_an_error() -> None:
    """Its class by full name, its text, and the end of its traceback with its cause."""
    try:
        try:
            raise KeyError("inner")
        except KeyError as cause:
            raise UndecodableError("outer") from cause
    except UndecodableError as error:
        failure = Failure.of("why", error)
    assert ("why", "cloudq.errors.UndecodableError", "outer") == (
        failure.reason, failure.error_type, failure.error_message,
    )  # fmt: skip
    assert failure.traceback is not None
    assert "KeyError: 'inner'" in failure.traceback
    assert failure.traceback.endswith("cloudq.errors.UndecodableError: outer\n")


def test_without_an_error_there_is_only_the_reason() -> None:
    """Poison has a reason and no exception."""
    assert Failure(reason="unknown task") == Failure.of("unknown task")


def test_an_error_that_was_not_raised_has_no_traceback() -> None:
    """A worker that died has a type and a text to report, and no frames."""
    failure = Failure.of("died", ValueError("x"))
    assert ("ValueError", "x", None) == (failure.error_type, failure.error_message, failure.traceback)


def test_long_texts_are_cut() -> None:
    """1,000 characters of reason and message from the front, 4,000 of traceback from the back."""
    failure = Failure.of("r" * 5_000, raised(ValueError("m" * 5_000)))
    assert ("r" * 1_000, "m" * 1_000) == (failure.reason, failure.error_message)
    assert failure.traceback == "…" + "m" * 3_998 + "\n"


class Nasty(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


def test_an_error_whose_text_raises_is_kept_all_the_same() -> None:
    """A user's `__str__` can't make a failure disappear."""
    failure = Failure.of("why", raised(Nasty()))
    assert "<its text is unreadable: RuntimeError>" == failure.error_message
    assert failure.traceback
    assert failure == Failure.decode(failure.encode())


def test_a_traceback_that_cannot_be_formatted_is_kept_as_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """Formatting runs foreign code, too."""

    def refuse(error: BaseException) -> list[str]:
        raise MemoryError

    monkeypatch.setattr("traceback.format_exception", refuse)
    assert "<the traceback could not be formatted: MemoryError>" == Failure.of("why", raised(ValueError())).traceback


def test_half_of_a_surrogate_pair_is_replaced() -> None:
    """A file name that isn't UTF-8 reaches us as such; it can be kept, and encoded, as a question mark."""
    failure = Failure.of("can't open a\udcff", raised(FileNotFoundError("a\udcff")))
    assert ("can't open a?", "a?") == (failure.reason, failure.error_message)
    assert failure == Failure.decode(failure.encode())
    by_hand = Failure(reason="a\udcff", worker="host\udcff:1")
    assert Failure(reason="a?", worker="host?:1") == Failure.decode(by_hand.encode())


def test_the_text_of_an_error_is_a_plain_str() -> None:
    """A subclass of `str` (a lazy translation, say) can't be encoded; what is kept is the text."""

    class Fancy(str):
        __slots__ = ()

    class Translated(Exception):
        def __str__(self) -> str:
            return Fancy("hello")

    assert str is type(text_of(Translated()))
    assert str is type(Failure.of(Fancy("why")).reason)


TOLD = "postgres://u:S3CRET@db"


def test_secrets_are_masked_before_anything_is_cut() -> None:
    """In the reason, the text, and the traceback with all that it chains: half of a secret would fit no pattern."""
    filling = "x" * (1_000 - len("postgres://u:S3C"))
    try:
        try:
            raise ConnectionError(TOLD)
        except ConnectionError as error:
            raise ValueError(filling + TOLD + "y" * 3_000) from error
    except ValueError as error:
        failure = Failure.of(filling + TOLD, error)
    assert "S3C" not in failure.encode().decode()
    assert failure.reason.endswith("postgres://u:***")
    assert failure.error_message is not None
    assert failure.error_message.endswith("postgres://u:***")


def test_a_failure_that_others_made_is_redacted_too() -> None:
    """A middleware's, say."""
    made = Failure(reason=TOLD, error_message=TOLD, traceback=TOLD, attempts=3).redacted()
    assert ["postgres://u:***@db"] * 3 == [made.reason, made.error_message, made.traceback]
    assert Failure(reason="a") == Failure(reason="a").redacted()


@pytest.mark.parametrize(
    ("details", "why"),
    [
        ({"attempts": -1}, "attempts is no count"),
        ({"deliveries": -5}, "deliveries is no count"),
        ({"generation": 2**31}, "generation is no count"),
        ({"first_at": "2026-01-01T00:00:00"}, "first_at has no UTC offset"),
        ({"waiting_since": "2026-01-01T00:00:00"}, "waiting_since has no UTC offset"),
    ],
)
def test_details_that_encode_does_not_make_are_refused(details: dict[str, object], why: str) -> None:
    """On many backends whoever may send can write them."""
    with pytest.raises(UndecodableError, match=why):
        Failure.decode(msgspec.json.encode({"reason": "boom", **details}))


def test_times_of_details_lie_between_the_sending_and_now() -> None:
    """But for the waiting of what nobody knows, which begins when it is due."""
    sent, now, due = NOW, NOW + timedelta(hours=1), NOW + timedelta(days=1)
    far = NOW + timedelta(days=9)
    before = Failure(reason="r", first_at=NOW - timedelta(days=1), last_at=far, waiting_since=far, unknown_since=far)
    after = Failure(reason="r", first_at=sent, last_at=now, waiting_since=now, unknown_since=due)
    assert after == before.dated_within(sent, now, due=due)
    assert before.first_at == before.dated_within(None, now, due=due).first_at
    assert after is after.dated_within(sent, now, due=due)


def test_a_sending_ahead_of_now_says_nothing_of_details() -> None:
    """A sender's clock is fast, or the time is forged: else all would seem to have begun just now, each time anew."""
    failure = Failure(reason="r", first_at=NOW, unknown_since=NOW, waiting_since=NOW)
    later = NOW + timedelta(days=2)
    assert failure is failure.dated_within(NOW + timedelta(days=9_000), later, due=later)


def test_a_time_that_is_outside_of_the_years_in_utc_is_refused() -> None:
    """It can't be handed on to a child."""
    with pytest.raises(UndecodableError, match="first_at is outside of the years 1 to 9999"):
        Failure.decode(b'{"reason":"r","first_at":"0001-01-01T00:00:00+14:00"}')


def test_what_is_redacted_can_be_stored() -> None:
    """A middleware's own texts too, with half of a surrogate pair as a file's name may have it."""
    redacted = Failure(reason="r", error_message="file \udcff", worker="\udcff").redacted()
    assert ("file ?", "?") == (redacted.error_message, redacted.worker)


def test_no_one_has_waited_for_less_than_nothing() -> None:
    """A producer may have written it: it would make a message older than it is."""
    assert Failure.decode(b'{"reason": "x", "waited": "PT5M"}').waited == timedelta(minutes=5)
    with pytest.raises(UndecodableError, match="waited"):
        Failure.decode(b'{"reason": "x", "waited": "-PT5M"}')
