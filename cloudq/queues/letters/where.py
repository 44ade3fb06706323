"""`Where`: which dead letters are meant, in the words of `--where 'task=emails.* error=SMTP*'`."""

from __future__ import annotations

import operator
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.driver import DeadMessage
from cloudq.core.message import Message
from cloudq.core.moments import Moments
from cloudq.core.redriving import times_redriven
from cloudq.errors import OptionError, nearest
from cloudq.queues.letters.groups import fingerprint_of

Matches = Callable[[DeadMessage], bool]

LONGEST: Final = 10_000
"""The most characters of a condition."""

_TERM: Final = re.compile(r"(?P<name>header\.[^=!<>]+|[a-z]+)(?P<sign>!=|<=|>=|=|<|>)(?P<value>.*)", re.DOTALL)
# What a word of a condition can't have in it unquoted.
_TO_QUOTE: Final = re.compile(r"[\s'\"\\]")
_SPAN: Final = re.compile(r"([0-9]{1,9})(s|m|h|d)")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_EXAMPLE: Final = "'task=emails.* error=SMTP* dead<2h'"
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Where:
    """A condition on dead letters: every term of it has to hold.

    Args:
        text: As it was written.
        terms: What has to hold.
        fixed: The same in words that mean the same at any time: moments in place of times ago. Default: `text`.
    """

    __slots__ = ("_terms", "fixed", "text")

    def __init__(self, text: str, terms: Sequence[Matches], *, fixed: str | None = None) -> None:
        self.text = text
        self.fixed = text if fixed is None else fixed
        self._terms = tuple(terms)

    def __repr__(self) -> str:
        """As it was written."""
        return f"Where({self.text!r})"

    def matches(self, dead: DeadMessage) -> bool:
        """Whether a dead letter is meant."""
        return all(term(dead) for term in self._terms)

    @classmethod
    def parse(cls, text: str, *, now: datetime | None = None) -> Where:
        """The condition in a text: terms with spaces between them, each a name, a sign and a value.

        | name | what it is of a dead letter | signs |
        |---|---|---|
        | `task`, `id`, `source` | the message's | `=` `!=` |
        | `error` | the exception's class, with its module or without | `=` `!=` |
        | `text` | in its reason, its error's text or its traceback, in any case | `=` `!=` |
        | `key`, `ordering`, `fairness` | its idempotency, ordering and fairness key | `=` `!=` |
        | `group` | the fingerprint that `DeadLetters.groups` shows, or its beginning with a `*` | `=` `!=` |
        | `header.NAME` | one of its headers | `=` `!=` |
        | `attempts`, `redriven` | how often it ran, and was redriven | all |
        | `dead`, `sent` | when it died (if that isn't known, failed last; else, was sent), and was sent | all |
        | `until` | it died before then, or it isn't known when | `=` |

        Texts are compared with `*`, `?` and `[...]` as in a shell; a text that isn't known equals nothing. Times are in
        ISO 8601, in UTC if they have no offset, or a time ago: `dead>2h` are those of the last two hours. A value with
        spaces is quoted: `text="no such user"`.

        Args:
            text: At most `LONGEST` characters. An empty one means all dead letters.
            now: What `2h` is before; default: now.

        Raises:
            OptionError: It means nothing.
        """
        if len(text) > LONGEST:
            raise OptionError(f"the condition has {len(text):,} characters; at most {LONGEST:,} are read")
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise OptionError(f"the condition {text!r} can't be read: {error}", hint=f"e.g. {_EXAMPLE}") from error
        now = now or SYSTEM_CLOCK.now()
        terms = [_term(word, now) for word in words]
        fixed = [_fixed(word, now) for word in words]
        return cls(text, terms, fixed=None if fixed == words else " ".join(map(_quoted, fixed)))

    @classmethod
    def of(cls, where: Where | str | None, *, now: datetime) -> Where:
        """What a caller gave: a condition, its text, or none, which means all.

        Raises:
            OptionError: It is none of these, or means nothing.
        """
        if not isinstance(where, Where | str | None):
            raise OptionError(f"a condition is a text, not a value of type {type(where).__name__}", hint=f"{_EXAMPLE}")
        return where if isinstance(where, Where) else cls.parse(where or "", now=now)


def _term(word: str, now: datetime) -> Matches:
    parts = _TERM.fullmatch(word)
    if parts is None:
        raise OptionError(f"the condition {word!r} is not NAME=VALUE", hint=f"e.g. {_EXAMPLE}")
    name, sign, value = parts.groups()
    if name.startswith("header."):
        return _text_term(_Text(lambda dead: _header(dead, name.removeprefix("header."))), name, sign, value)
    if name in _TEXTS:
        return _text_term(_TEXTS[name], name, sign, value)
    if name in _NUMBERS:
        return _ordered_term(_NUMBERS[name], sign, _number(name, value))
    if name in _TIMES:
        return _ordered_term(_TIMES[name], sign, _moment(name, value, now))
    if name == _UNTIL:
        return _until_term(sign, _moment(name, value, now))
    names = [*_TEXTS, *_NUMBERS, *_TIMES, _UNTIL, "header.NAME"]
    raise OptionError(f"dead letters have no {name!r}: {nearest(name, names)}", hint=f"one of {', '.join(names)}")


def _fixed(word: str, now: datetime) -> str:
    """The same term, with a moment in place of a time ago."""
    parts = _TERM.fullmatch(word)
    if parts is None or parts["name"] not in {*_TIMES, _UNTIL} or _SPAN.fullmatch(parts["value"]) is None:
        return word
    return f"{parts['name']}{parts['sign']}{_moment(parts['name'], parts['value'], now).isoformat()}"


def _quoted(word: str) -> str:
    return shlex.quote(word) if _TO_QUOTE.search(word) else word


class _Text(NamedTuple):
    """A text of a dead letter.

    Attributes:
        of: The texts, any of which may match.
        within: Whether a part of it is enough, in any case.
    """

    of: Callable[[DeadMessage], Iterable[str | None]]
    within: bool = False


def _text_term(text: _Text, name: str, sign: str, value: str) -> Matches:
    if sign not in {"=", "!="}:
        raise OptionError(f"{name} is a text, which is neither before nor behind another", hint=f"{name}={value}")
    pattern = f"*{value}*".lower() if text.within else value

    def matches(dead: DeadMessage) -> bool:
        known = (one.lower() if text.within else one for one in text.of(dead) if one is not None)
        return any(fnmatchcase(one, pattern) for one in known) is (sign == "=")

    return matches


def _ordered_term(of: Callable[[DeadMessage], object], sign: str, value: object) -> Matches:
    compare = _COMPARE[sign]

    def matches(dead: DeadMessage) -> bool:
        known = of(dead)
        return known is not None and compare(known, value)

    return matches


def _until_term(sign: str, value: datetime) -> Matches:
    if sign != "=":
        raise OptionError(
            f"{_UNTIL} goes with = only", hint=f"{_UNTIL}={value.isoformat()}; dead<, dead> where it is known"
        )

    def matches(dead: DeadMessage) -> bool:
        return dead.died_at is None or dead.died_at < value

    return matches


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 10):
        raise OptionError(f"{name} is a number, and {value!r} is none", hint=f"e.g. '{name}>=3'")
    return int(value)


def _moment(name: str, value: str, now: datetime) -> datetime:
    span = _SPAN.fullmatch(value)
    try:
        if span is not None:
            return now - timedelta(**{_UNITS[span.group(2)]: int(span.group(1))})
        moment = Moments.datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        hint = f"e.g. '{name}>2h', '{name}<2026-01-31T03:10'"
        raise OptionError(f"{name} is a time, and {value!r} is neither that nor a time ago", hint=hint) from None


def _of_message(get: Callable[[Message], str | None]) -> _Text:
    return _Text(lambda dead: () if dead.message is None else (get(dead.message),))


def _header(dead: DeadMessage, name: str) -> Iterable[str | None]:
    return () if dead.message is None else (dead.message.headers.get(name),)


def _error(dead: DeadMessage) -> Iterable[str]:
    kind = dead.failure.error_type if dead.failure is not None else None
    return () if kind is None else (kind, kind.rpartition(".")[2])


def _texts(dead: DeadMessage) -> Iterable[str | None]:
    failure = dead.failure
    return () if failure is None else (failure.reason, failure.error_message, failure.traceback)


_TEXTS: Final[Mapping[str, _Text]] = {
    "task": _of_message(lambda message: message.task),
    "error": _Text(_error),
    "text": _Text(_texts, within=True),
    "id": _Text(lambda dead: (dead.id,)),
    "source": _of_message(lambda message: message.source),
    "key": _of_message(lambda message: message.idempotency_key),
    "ordering": _of_message(lambda message: message.ordering_key),
    "fairness": _of_message(lambda message: message.fairness_key),
    "group": _Text(lambda dead: (fingerprint_of(dead),)),
}
_NUMBERS: Final[Mapping[str, Callable[[DeadMessage], object]]] = {
    "attempts": lambda dead: None if dead.failure is None else dead.failure.attempts,
    "redriven": lambda dead: times_redriven(dead.message, dead.failure),
}
_UNTIL: Final = "until"
_TIMES: Final[Mapping[str, Callable[[DeadMessage], object]]] = {
    "dead": lambda dead: dead.died_at,
    "sent": lambda dead: None if dead.message is None else dead.message.sent_at,
}
