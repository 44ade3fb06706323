"""`LogValues`: what the code that logs gives as `extra=`, as it is written: without what nobody may see."""

from __future__ import annotations

from typing import Final

import msgspec

from cloudq.core.printable import NAME_CHARS, shortened
from cloudq.core.redaction import LONGEST, MASK, Redact, mask_secrets, redacted_by

_MOST_NAMES: Final = 1_000


class LogValues:
    """Values of log lines without their secrets: in texts, in containers, in what an object's `repr` says.

    Where `redact` hides the end of `NAME=x`, as `mask_secrets` does of `password=x`, that name's value is a secret,
    whatever it looks like.

    Args:
        redact: Takes out what nobody may see.
    """

    def __init__(self, redact: Redact) -> None:
        self._redact = redact
        self._hidden: dict[str, bool] = {}

    def of_text(self, text: str) -> str:
        """The text without its secrets."""
        return redacted_by(self._redact, text)

    def for_json(self, name: str, value: object) -> object:
        """What JSON has a form for, or else its `repr`."""
        if self._hides(name):
            return MASK
        if value is None or isinstance(value, (str, int, float)):
            return self._of_scalar(value)
        try:
            return self._of_any(msgspec.to_builtins(value, str_keys=True, enc_hook=text_of))
        except Exception:  # noqa: BLE001 - whatever a caller's `extra` holds: a circle, a key that is no text
            return cut(self.of_text(text_of(value)))

    def for_text(self, name: str, value: object) -> str:
        """A text as it is, of anything else its `repr`; at most 200 characters."""
        if self._hides(name):
            return MASK
        if type(value) in {dict, list, tuple}:
            try:
                value = self._of_any(value)
            except Exception:  # noqa: BLE001 - as above
                return shortened(self.of_text(text_of(value)), NAME_CHARS)
        return shortened(self.of_text(text_of(value)), NAME_CHARS)

    def _of_any(self, value: object) -> object:
        if isinstance(value, dict):
            return {self._of_scalar(key): MASK if self._hides(key) else self._of_any(its) for key, its in value.items()}
        if isinstance(value, list):
            return [self._of_any(one) for one in value]
        if type(value) is tuple:
            return tuple(self._of_any(one) for one in value)
        return self._of_scalar(value)

    def _of_scalar(self, value: object) -> object:
        if isinstance(value, str):
            return cut(self.of_text(value))
        # A number is a secret to an app's own function at most: a card's, say.
        if self._redact is mask_secrets or isinstance(value, bool) or not isinstance(value, (int, float)):
            return value
        text = text_of(value)
        made = self.of_text(text)
        return value if made == text else made

    def _hides(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        hidden = self._hidden.get(name)
        if hidden is None:
            # By the end, as a function may change a name too, in whatever way.
            hidden = not self.of_text(f"{name}=x").endswith("=x")
            if len(self._hidden) < _MOST_NAMES:
                self._hidden[name] = hidden
        return hidden


def cut(text: str) -> str:
    """Of a text that is very long its beginning and its end, with `…` between them on a line of its own.

    Of a traceback, one is the frames' and the other the error's. After it was redacted: half of a secret fits no
    pattern.
    """
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]}\n…\n{text[-half:]}"


def text_of(value: object) -> str:
    """A text as it is, of anything else its `repr`, or why there is none."""
    try:
        return value if isinstance(value, str) else repr(value)
    except Exception as error:  # noqa: BLE001 - whatever a caller's `extra` holds
        return f"<{type(value).__name__}: its repr raised {type(error).__name__}>"
