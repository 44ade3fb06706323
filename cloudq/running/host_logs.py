"""`show_fields_in_host_logs`: in AWS Lambda and Azure Functions logging is the host's, whose text says no id."""

from __future__ import annotations

import logging
import os
from typing import Final

from cloudq.core.redaction import mask_secrets
from cloudq.running.log_values import LogValues
from cloudq.running.logs import fields_of, shown_fields

HOSTS: Final = ("AWS_LAMBDA_FUNCTION_NAME", "FUNCTIONS_WORKER_RUNTIME")
"""Set by AWS Lambda ("Defined runtime environment variables") and Azure Functions ("App settings reference"), 2026."""


class HostFormatter(logging.Formatter):
    """Another formatter's text, with the fields of the delivery at the end of its first line; JSON stays as it is.

    Args:
        host: The other formatter.
    """

    def __init__(self, host: logging.Formatter) -> None:
        super().__init__()
        self._host = host
        self._values = LogValues(mask_secrets)

    def format(self, record: logging.LogRecord) -> str:
        """The text for one record."""
        text = self._host.format(record)
        own, _ = fields_of(record)
        if not own or text.startswith("{"):
            return text
        first, end, rest = text.partition("\n")
        return f"{first}  {shown_fields(own.items(), self._values)}{end}{rest}"


def show_fields_in_host_logs() -> None:
    """From now on what the host's handlers write has the fields, where the environment is a host's."""
    if not any(name in os.environ for name in HOSTS):
        return
    for handler in logging.getLogger().handlers:
        if not isinstance(handler.formatter, HostFormatter):
            handler.setFormatter(HostFormatter(handler.formatter or logging.Formatter()))
