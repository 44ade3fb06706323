"""`Starting`: the time in which a worker loads what it needs."""

from __future__ import annotations

import gc
from typing import Final, Self

# The largest that it takes: of new objects, before garbage is looked for.
_NEVER: Final = 2**31 - 1


class Starting:
    """`with Starting() as starting:` nothing looks for garbage until `starting.over()`, or the end of the block.

    What is loaded at the start, the SDK and its descriptions of services above all, stays. To look for garbage among
    it, again and again as it grows, takes a twentieth of the time until the first task. Nor is it looked through later:
    it is frozen. What nobody refers to any more is freed all the same, but for circles.

    An app may say for itself how garbage is looked for, or that it isn't (`gc.disable()`), while it is imported. So the
    collector is left on here, with a threshold that isn't reached, and what the app has set is kept.
    """

    def __enter__(self) -> Self:
        self._before = gc.get_threshold()
        gc.set_threshold(_NEVER, *self._before[1:])
        return self

    def __exit__(self, *_: object) -> None:
        if gc.get_threshold()[0] == _NEVER:
            gc.set_threshold(*self._before)

    def over(self) -> None:
        """Has garbage looked for again, as before: among what is made from now on."""
        if gc.isenabled():
            gc.freeze()
        self.__exit__()
