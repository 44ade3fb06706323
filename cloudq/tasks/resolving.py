"""`Resolving`: declared tasks, and those that a resolver finds by their names the first time that one is met.

For tasks that another library declares (Django's, say), which nothing lists: a message names one, and the resolver says
which it is. A program without a resolver has its plain dictionary, and pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias, TypeVar, overload

if TYPE_CHECKING:
    from cloudq.tasks.definition import Definition

T = TypeVar("T")
Resolver: TypeAlias = "Callable[[str], Definition | None]"
"""Gives the task of a name, or `None` if there is none. Called from any thread, with what a stranger may have written.

It raises nothing: what can't be imported is a task that isn't known here, and its messages wait for a program that
knows it. Whatever it imports by a name, it has to know first that it may.
"""


class Resolving(Mapping[str, "Definition"]):
    """The declared tasks by name and alias, where one that is missing is asked for.

    Iterating gives those that are declared, or were asked for before.

    Args:
        declared: The declared ones; follows later declarations.
        find: Gives the task of a name that isn't there, and keeps it there; or `None`.
    """

    def __init__(self, declared: Mapping[str, Definition], find: Callable[[str], Definition | None]) -> None:
        self._declared = declared
        self._find = find

    @overload
    def get(self, name: str, /) -> Definition | None: ...
    @overload
    def get(self, name: str, default: Definition | T, /) -> Definition | T: ...
    def get(self, name: str, default: Definition | T | None = None, /) -> Definition | T | None:
        """The task of a name or alias, or the default."""
        definition = self._declared.get(name)
        if definition is None:
            definition = self._find(name)
        return default if definition is None else definition

    def __getitem__(self, name: str) -> Definition:
        definition = self.get(name)
        if definition is None:
            raise KeyError(name)
        return definition

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._declared))  # of now: one that is found meanwhile must not end the loop

    def __len__(self) -> int:
        return len(self._declared)
