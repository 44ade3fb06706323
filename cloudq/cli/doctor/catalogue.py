"""Every fault that is known, by its id. docs/reference/doctor.md is this table, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cloudq.cli.doctor import faults_around, faults_of_dead_letters, faults_of_handing_over, faults_of_queues
from cloudq.cli.doctor.fault import Fault

FAULTS: Final[Mapping[str, Fault]] = {
    fault.id: fault
    for fault in (
        *faults_of_queues.FAULTS,
        *faults_of_dead_letters.FAULTS,
        *faults_of_handing_over.FAULTS,
        *faults_around.FAULTS,
    )
}
