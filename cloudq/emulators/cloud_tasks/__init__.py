"""An emulator of Google Cloud Tasks that the real client library talks to.

`CloudTasksEmulator` is the way in. Beneath it `service` is the gRPC face, `store` the calls, `dispatcher` what sends
tasks to workers, and the rest are pure rules: `queues`, `attempting`, `backoff`, `bucket`, `throttle`, `checking`.
"""

from __future__ import annotations

from cloudq.emulators.cloud_tasks.attempting import End
from cloudq.emulators.cloud_tasks.attempts import Attempt
from cloudq.emulators.cloud_tasks.clock import Clock, ManualClock, SystemClock
from cloudq.emulators.cloud_tasks.emulator import VARIABLE, CloudTasksEmulator
from cloudq.emulators.cloud_tasks.faults import Cut, Faults
from cloudq.emulators.cloud_tasks.ports import PortTaken
from cloudq.emulators.cloud_tasks.problems import Problem
from cloudq.emulators.cloud_tasks.settings import Settings

__all__ = [
    "VARIABLE",
    "Attempt",
    "Clock",
    "CloudTasksEmulator",
    "Cut",
    "End",
    "Faults",
    "ManualClock",
    "PortTaken",
    "Problem",
    "Settings",
    "SystemClock",
]
