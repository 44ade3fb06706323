"""Backends: each file implements the driver contract (`cloudq.core.driver`) for one service."""
