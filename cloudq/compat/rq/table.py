"""`Table`: what becomes of RQ's words of one kind: each maps, changes its meaning, or is refused by its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from cloudq.errors import OptionError

# A value that RQ itself has by default asks for nothing.
_ASKS_NOTHING: Final = (None, False)


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """The words of one kind, each with what it is here. A test holds them to those of the RQ that is installed.

    Attributes:
        maps: It does the same; how.
        changes: It is honoured, and something is different: what.
        refused: It can't be honoured; what to do instead.
    """

    maps: Mapping[str, str]
    changes: Mapping[str, str]
    refused: Mapping[str, str]

    @property
    def names(self) -> set[str]:
        """All that have an answer."""
        return {*self.maps, *self.changes, *self.refused}

    def refuse(self, given: Mapping[str, Any], what: str) -> None:
        """Refuses what can't be honoured; `None` and `False` ask for nothing.

        Args:
            given: The options by name.
            what: Whose they are, for the message: "a job".

        Raises:
            OptionError: By the option's name. Its value isn't shown.
        """
        for name, value in given.items():
            if name in self.maps or name in self.changes or any(value is nothing for nothing in _ASKS_NOTHING):
                continue
            hint = self.refused.get(name, "RQ has none of that name, either")
            raise OptionError(f"{name} of {what} can't be honoured", hint=hint)

    def absent(self, kind: str, name: str, otherwise: str) -> AttributeError:
        """What is raised for an attribute that isn't there.

        Args:
            kind: Whose attribute: "a Queue".
            name: The attribute.
            otherwise: The hint for a name that RQ hasn't.
        """
        return AttributeError(f"{kind} of cloudq.compat.rq has no {name!r}; hint: {self.refused.get(name, otherwise)}")


def each(text: str, names: str | Iterable[str]) -> dict[str, str]:
    """The same answer for several, whose names may be one text with spaces between them."""
    return dict.fromkeys(names.split() if isinstance(names, str) else names, text)
