"""Reading botocore's descriptions of services: as botocore reads them."""

from __future__ import annotations

import gzip
import json

import pytest
from botocore.exceptions import DataNotFoundError
from botocore.loaders import JSONFileLoader, create_loader

from cloudq.aws_wire.models import ModelFiles, quicken


@pytest.mark.parametrize(
    "name", ["endpoints", "partitions", "sqs/2012-11-05/service-2", "scheduler/2021-06-30/service-2"]
)
def test_a_file_of_botocores_holds_what_botocore_reads(name):
    """In the same order, which its own dicts keep: plain files, and packed ones."""
    theirs, ours = create_loader(), create_loader()
    ours.file_loader = ModelFiles()
    assert json.dumps(theirs.load_data(name)) == json.dumps(ours.load_data(name))


def test_a_missing_file_is_none(tmp_path):
    """So that the loader looks in its next folder."""
    assert ModelFiles().load_file(str(tmp_path / "no")) is None


def test_what_only_botocores_parser_takes_is_read_by_it(tmp_path):
    """A number that JSON doesn't have, say, in a description of the user's own."""
    (tmp_path / "own.json").write_text('{"most": Infinity}')
    assert JSONFileLoader().load_file(str(tmp_path / "own")) == ModelFiles().load_file(str(tmp_path / "own"))


def test_what_is_no_json_is_refused_as_botocore_refuses_it(tmp_path):
    """By the error of its own parser."""
    (tmp_path / "cut.json.gz").write_bytes(gzip.compress(b'{"a":'))
    with pytest.raises(json.JSONDecodeError):
        ModelFiles().load_file(str(tmp_path / "cut"))


def test_a_service_is_found_without_looking_at_the_others(monkeypatch):
    """As botocore finds it, in its latest version."""
    ours, theirs = create_loader(), create_loader()
    quicken(ours, "sqs")
    looked_at = []
    exists = JSONFileLoader.exists
    monkeypatch.setattr(JSONFileLoader, "exists", lambda self, path: looked_at.append(path) or exists(self, path))
    found = ours.load_service_model("sqs", "service-2")
    assert all("/sqs/" in path for path in looked_at)
    assert json.dumps(found) == json.dumps(theirs.load_service_model("sqs", "service-2"))


def test_a_service_that_this_botocore_does_not_have_is_missing():
    """An old one may not know all that cloudq uses."""
    loader = create_loader()
    quicken(loader, "nosuchservice")
    with pytest.raises(DataNotFoundError):
        loader.load_service_model("nosuchservice", "service-2")
