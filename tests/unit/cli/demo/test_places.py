"""Where the tour has its hosted queues."""

from __future__ import annotations

import sys

import pytest


@pytest.mark.parametrize(("backend", "module"), [("servicebus", "azure.servicebus"), ("cloudtasks", "google.auth")])
def test_without_its_sdk_it_says_what_to_install(cli, monkeypatch, backend, module):
    """The extra is named."""
    monkeypatch.setitem(sys.modules, module, None)
    result = cli("demo", "--backend", backend)
    assert 2 == result.code
    assert f"pip install 'cloudq[{backend},emulators]'" in result.err
