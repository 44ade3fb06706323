"""The file as the embedded backend has it open."""

from tests.unit.drivers.sqlite.conftest import bench, driver

__all__ = ["bench", "driver"]
