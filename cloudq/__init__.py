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
    from cloudq.app import App as App
    from cloudq.core.message import Message as Message
    from cloudq.core.middleware import Middleware as Middleware
    from cloudq.core.outcome import Acked as Acked
    from cloudq.core.outcome import DeadLettered as DeadLettered
    from cloudq.core.outcome import Expired as Expired
    from cloudq.core.outcome import Outcome as Outcome
    from cloudq.core.outcome import Retried as Retried
    from cloudq.core.outcome import Snoozed as Snoozed
    from cloudq.core.policy import DeadLetter as DeadLetter
    from cloudq.core.policy import Retry as Retry
    from cloudq.core.policy import RetryPolicy as RetryPolicy
    from cloudq.core.redaction import mask_secrets as mask_secrets
    from cloudq.core.run_notes import CancelAnswer as CancelAnswer
    from cloudq.default_app import acancel as acancel
    from cloudq.default_app import acancel_run as acancel_run
    from cloudq.default_app import aresult as aresult
    from cloudq.default_app import asend as asend
    from cloudq.default_app import asend_many as asend_many
    from cloudq.default_app import cancel as cancel
    from cloudq.default_app import cancel_run as cancel_run
    from cloudq.default_app import configure as configure
    from cloudq.default_app import on_dead as on_dead
    from cloudq.default_app import on_start as on_start
    from cloudq.default_app import on_stop as on_stop
    from cloudq.default_app import outbox_in as outbox_in
    from cloudq.default_app import result as result
    from cloudq.default_app import send as send
    from cloudq.default_app import send_many as send_many
    from cloudq.default_app import task as task
    from cloudq.errors import BackendError as BackendError
    from cloudq.errors import CloudqError as CloudqError
    from cloudq.errors import ConfigurationError as ConfigurationError
    from cloudq.errors import LeaseLost as LeaseLost
    from cloudq.errors import MessageTooLarge as MessageTooLarge
    from cloudq.errors import NoResult as NoResult
    from cloudq.errors import OptionError as OptionError
    from cloudq.errors import PayloadError as PayloadError
    from cloudq.errors import ResultTimeout as ResultTimeout
    from cloudq.errors import TaskDefinitionError as TaskDefinitionError
    from cloudq.errors import TimeLimitExceeded as TimeLimitExceeded
    from cloudq.errors import TransientError as TransientError
    from cloudq.errors import UnsupportedError as UnsupportedError
    from cloudq.flow.breakers import Breaker as Breaker
    from cloudq.flow.rates import Rate as Rate
    from cloudq.flow.seats import AtOnce as AtOnce
    from cloudq.outbox.making import create_outbox as create_outbox
    from cloudq.queues.cloud_queue import CloudQueue as CloudQueue
    from cloudq.tasks.context import Context as Context
    from cloudq.tasks.context import current as current
    from cloudq.tasks.dependencies.marks import INJECTED as INJECTED
    from cloudq.tasks.dependencies.marks import Depends as Depends
    from cloudq.tasks.hooks import DeadDelivery as DeadDelivery
    from cloudq.tasks.options import SendOptions as SendOptions
    from cloudq.tasks.options import TaskOptions as TaskOptions
    from cloudq.tasks.results import Result as Result
    from cloudq.tasks.sending import SendManyError as SendManyError
    from cloudq.tasks.sent import Sent as Sent
    from cloudq.tasks.task import Call as Call
    from cloudq.tasks.task import Task as Task
    from cloudq.user_database.upkeep import create_inbox as create_inbox
    from cloudq.user_database.upkeep import sweep_inbox as sweep_inbox

_HOMES = {
    "cloudq.app": ("App",),
    "cloudq.queues.cloud_queue": ("CloudQueue",),
    "cloudq.tasks.context": ("Context", "current"),
    "cloudq.core.message": ("Message",),
    "cloudq.flow.breakers": ("Breaker",),
    "cloudq.flow.rates": ("Rate",),
    "cloudq.flow.seats": ("AtOnce",),
    "cloudq.core.outcome": ("Acked", "DeadLettered", "Expired", "Outcome", "Retried", "Snoozed"),
    "cloudq.core.policy": ("DeadLetter", "Retry", "RetryPolicy"),
    "cloudq.core.redaction": ("mask_secrets",),
    "cloudq.core.middleware": ("Middleware",),
    "cloudq.default_app": (
        "acancel",
        "acancel_run",
        "aresult",
        "asend",
        "asend_many",
        "cancel",
        "cancel_run",
        "configure",
        "on_dead",
        "on_start",
        "on_stop",
        "outbox_in",
        "result",
        "send",
        "send_many",
        "task",
    ),
    "cloudq.errors": (
        "BackendError",
        "CloudqError",
        "ConfigurationError",
        "LeaseLost",
        "MessageTooLarge",
        "NoResult",
        "OptionError",
        "PayloadError",
        "ResultTimeout",
        "TaskDefinitionError",
        "TimeLimitExceeded",
        "TransientError",
        "UnsupportedError",
    ),
    "cloudq.outbox.making": ("create_outbox",),
    "cloudq.core.run_notes": ("CancelAnswer",),
    "cloudq.tasks.dependencies.marks": ("INJECTED", "Depends"),
    "cloudq.tasks.hooks": ("DeadDelivery",),
    "cloudq.tasks.results": ("Result",),
    "cloudq.tasks.options": ("SendOptions", "TaskOptions"),
    "cloudq.tasks.sending": ("SendManyError",),
    "cloudq.tasks.sent": ("Sent",),
    "cloudq.tasks.task": ("Call", "Task"),
    "cloudq.user_database.upkeep": ("create_inbox", "sweep_inbox"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

# Derived: type checkers take the names from above, where each is exported by its alias.
__all__ = ["__version__", *sorted(_HOME_OF)]  # noqa: PLE0604 - they are texts


def __getattr__(name: str) -> object:
    """Loads a public name from its home."""
    home = _HOME_OF.get(name)
    if home is None:
        raise _no_attribute(name)
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def _no_attribute(name: str) -> AttributeError:
    if name.startswith("_"):
        return AttributeError(f"module 'cloudq' has no attribute {name!r}")
    from importlib import import_module

    errors = import_module("cloudq.errors")  # `from cloudq import errors` would look here first, and so on
    where = f"it is cloudq.errors.{name}" if hasattr(errors, name) else errors.nearest(name, __all__)
    return AttributeError(f"module 'cloudq' has no attribute {name!r}; hint: {where}")


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
