"""One Python task queue over the hosted queues people already pay for.

```python
import cloudq

@cloudq.task
def welcome(user_id: int) -> None: ...

welcome.send(user_id=42)
```

Names are loaded at their first use (PEP 562), so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0.dev0"

if TYPE_CHECKING:
    from cloudq.app import App
    from cloudq.core.message import Message
    from cloudq.core.middleware import Middleware
    from cloudq.core.outcome import Acked, DeadLettered, Outcome, Retried
    from cloudq.core.policy import DeadLetter, Retry, RetryPolicy
    from cloudq.default_app import acancel, asend, asend_many, cancel, configure, send, send_many, task
    from cloudq.errors import (
        BackendError,
        CloudqError,
        ConfigurationError,
        LeaseLost,
        MessageTooLarge,
        OptionError,
        PayloadError,
        TaskDefinitionError,
        TimeLimitExceeded,
        TransientError,
        UnsupportedError,
    )
    from cloudq.queues.cloud_queue import CloudQueue
    from cloudq.tasks.context import Context, current
    from cloudq.tasks.options import SendOptions, TaskOptions
    from cloudq.tasks.sending import SendManyError
    from cloudq.tasks.sent import Sent
    from cloudq.tasks.task import Call, Task

_HOMES = {
    "cloudq.app": ("App",),
    "cloudq.queues.cloud_queue": ("CloudQueue",),
    "cloudq.tasks.context": ("Context", "current"),
    "cloudq.core.message": ("Message",),
    "cloudq.core.outcome": ("Acked", "DeadLettered", "Outcome", "Retried"),
    "cloudq.core.policy": ("DeadLetter", "Retry", "RetryPolicy"),
    "cloudq.core.middleware": ("Middleware",),
    "cloudq.default_app": ("acancel", "asend", "asend_many", "cancel", "configure", "send", "send_many", "task"),
    "cloudq.errors": (
        "BackendError",
        "CloudqError",
        "ConfigurationError",
        "LeaseLost",
        "MessageTooLarge",
        "OptionError",
        "PayloadError",
        "TaskDefinitionError",
        "TimeLimitExceeded",
        "TransientError",
        "UnsupportedError",
    ),
    "cloudq.tasks.options": ("SendOptions", "TaskOptions"),
    "cloudq.tasks.sending": ("SendManyError",),
    "cloudq.tasks.sent": ("Sent",),
    "cloudq.tasks.task": ("Call", "Task"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Acked",
    "App",
    "BackendError",
    "Call",
    "CloudQueue",
    "CloudqError",
    "ConfigurationError",
    "Context",
    "DeadLetter",
    "DeadLettered",
    "LeaseLost",
    "Message",
    "MessageTooLarge",
    "Middleware",
    "OptionError",
    "Outcome",
    "PayloadError",
    "Retried",
    "Retry",
    "RetryPolicy",
    "SendManyError",
    "SendOptions",
    "Sent",
    "Task",
    "TaskDefinitionError",
    "TaskOptions",
    "TimeLimitExceeded",
    "TransientError",
    "UnsupportedError",
    "__version__",
    "acancel",
    "asend",
    "asend_many",
    "cancel",
    "configure",
    "current",
    "send",
    "send_many",
    "task",
]


def __getattr__(name: str) -> object:
    """Loads a public name from its home."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'cloudq' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
