"""What an app tells monitoring tools: OpenTelemetry's spans and metrics.

```python
import cloudq
from cloudq.telemetry import instrument

app = cloudq.App(imports=["shop.tasks"])
instrument(app)
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudq.telemetry.instrumenting import instrument as instrument

__all__ = ["instrument"]


def __getattr__(name: str) -> object:
    """Loads OpenTelemetry's API with the first use."""
    if name == "instrument":
        from cloudq.telemetry.instrumenting import instrument

        return instrument
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
