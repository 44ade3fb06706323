"""`Starting`: the time in which a worker loads what it needs."""

from __future__ import annotations

import gc
from typing import Self


class Starting:
    """`with Starting() as starting:` nothing looks for garbage until `starting.over()`, or the end of the block.

    What is loaded at the start, the SDK and its descriptions of services above all, stays. To look for garbage among
    it, again and again as it grows, takes a twentieth of the time until the first task. Nor is it looked through later:
    it is frozen. What nobody refers to any more is freed all the same, but for circles.
    """

    def __enter__(self) -> Self:
        self._collects = gc.isenabled()
        gc.disable()
        return self

    def __exit__(self, *_: object) -> None:
        if self._collects:
            gc.enable()

    def over(self) -> None:
        """Has garbage looked for again, if it was before: among what is made from now on."""
        if self._collects:
            gc.freeze()
            gc.enable()
