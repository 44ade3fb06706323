"""What must not be kept in dead letters and logs: secrets in the texts of errors.

A driver's error names the URL that it couldn't reach, password and all. Such a text becomes the reason of a retry, a
dead letter's details, a log line. So it is redacted where it enters: before it is cut, since half of a secret fits no
pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import cache
from typing import Final, TypeAlias

Redact: TypeAlias = Callable[[str], str]
"""Gives the text without what nobody else may see."""

MASK: Final = "***"
LONGEST: Final = 65_536

# Every repetition is bounded: the text comes from outside, and may be made to cost much.
_PATTERNS: Final = (
    # scheme://user:password@host. A port isn't a password, though an @ may follow in the path.
    (r"(://[^\s/:@?#]{0,256}:)(?!\d{1,5}[/?#])[^\s'\"<>]{1,512}@", rf"\1{MASK}@"),
    # Azure's connection strings, and signatures of SAS tokens.
    (r"\b((?:SharedAccessKey|AccountKey|SharedAccessSignature)\s{0,8}=\s{0,8})[^\s;'\"]{1,512}", rf"\1{MASK}"),
    (r"([?&\s]sig=)[^\s&'\"]{1,512}", rf"\1{MASK}"),
    # AWS: an access key's id, its secret, a session's token, signed URLs.
    (r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", MASK),
    (r"\b(aws_?(?:secret_?access_?key|session_?token)['\"]?\s{0,8}[=:]\s{0,8})[^\s,;&]{1,4096}", rf"\1{MASK}"),
    (r"(X-Amz-(?:Signature|Security-Token|Credential)=)[^\s&'\"]{1,4096}", rf"\1{MASK}"),
    # libpq's form and ODBC's.
    (r"\b((?:password|passwd|pwd)=)[^\s;&,)'\"]{1,512}", rf"\1{MASK}"),
    # Signed tokens, and keys in PEM.
    (r"\beyJ[\w-]{8,2048}\.[\w-]{8,4096}\.[\w-]{0,2048}", MASK),
    (r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----[^-]{0,16384}", MASK),
)

# One of them, in lower case, is in whatever a pattern matches. Nearly all texts have none, and cost a tenth.
_MARKS: Final = ("=", "://", "aws", "akia", "asia", "eyj", "-----begin")


@cache
def _patterns() -> Sequence[tuple[re.Pattern[str], str]]:
    # At the first use: it takes a millisecond, and most processes start, work and end without an error.
    return [(re.compile(pattern, re.IGNORECASE), instead) for pattern, instead in _PATTERNS]


def mask_secrets(text: str) -> str:
    """The default of `App(redact=...)`: passwords in URLs, keys and tokens of clouds, PEM keys are masked with `***`.

    It knows forms, not values: what looks like any other text stays. A program's own `redact` may call it.
    """
    folded = text.casefold()
    if not any(mark in folded for mark in _MARKS):
        return text
    for pattern, instead in _patterns():
        text = pattern.sub(instead, text)
    return text


_in_force: ContextVar[Redact] = ContextVar("cloudq_redact", default=mask_secrets)


class redacting:  # noqa: N801 - used as a function
    """`with redacting(redact):` within the block, and what it awaits, `redacted` goes by this.

    No generator with contextlib's decorator, which takes three times as long: it is around each task.
    """

    __slots__ = ("_redact", "_token")

    def __init__(self, redact: Redact) -> None:
        self._redact = redact

    def __enter__(self) -> None:
        self._token = _in_force.set(self._redact)

    def __exit__(self, *_: object) -> None:
        try:  # noqa: SIM105 - suppress() takes as long as all the rest of this
            _in_force.reset(self._token)
        except ValueError:
            pass  # a coroutine that nobody awaits to its end is closed in another context


def redacted(text: str) -> str:
    """The text without its secrets, by the app whose delivery is worked on here, else by `mask_secrets`.

    Of a text that is longer than whatever is shown or kept of it, only the beginning is looked at, and given.
    """
    return redacted_by(_in_force.get(), text[:LONGEST])


def redacted_by(redact: Redact, text: str) -> str:
    """The text without its secrets. If the app's own function fails, nothing is known to be harmless, so nothing stays.

    Args:
        redact: The function; whatever it raises is named by its class.
        text: What it is given.
    """
    try:
        made = redact(text)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - the app's own code, and what it is asked for must have an outcome
        return f"<not shown: redact raised {type(error).__name__}>"
    return made if isinstance(made, str) else f"<not shown: redact gave {type(made).__name__}>"
