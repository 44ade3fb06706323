"""`Spoil`: what becomes of a backend's answers on their way: they are cut, or they say something else."""

from __future__ import annotations

from typing import Final

PAGE: Final = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>"


class Spoil:
    """One way to spoil answers. The harness hands it each answer, and passes on what it makes of it.

    Args:
        name: One of `SPOILS`.

    Attributes:
        cuts: Whether an answer is cut, after which its connection ends. Otherwise an answer of the right form comes,
            with other content: nothing, a web page, an object that names nothing.
        count: How many answers were spoilt.
    """

    def __init__(self, name: str) -> None:
        self._kept, self._content = SPOILS[name]
        self.cuts = self._kept is not None
        self.count = 0

    def of(self, answer: bytes) -> bytes:
        """For the harness: what to pass on in place of an answer; where that isn't cut, in place of its content.

        A cut is counted in the bytes that are given: best those of the whole answer, its headers with them.
        """
        self.count += 1
        if self._kept is None:
            return self._content
        return answer[: min(int(len(answer) * self._kept), max(len(answer) - 1, 0))]


# The share of an answer that arrives, or what stands in its place.
SPOILS: Final[dict[str, tuple[float | None, bytes]]] = {
    "cut-off": (0.0, b""),
    "cut-early": (0.3, b""),
    "cut-late": (0.8, b""),
    "cut-before-its-end": (1.0, b""),
    "emptied": (None, b""),
    "a-web-page": (None, PAGE),
    "an-empty-object": (None, b"{}"),
}
"""Of cuts a sample, for a kit that is run often. A driver's own tests cut an answer at each byte."""
