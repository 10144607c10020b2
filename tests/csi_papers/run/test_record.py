"""A kept run says what was measured and on what, and refuses what did not run to its end."""

import json

import pytest

from csi_papers.run import record


def result(**changes):
    claim = {"id": "C1.stand", "value": 1.25, "interval": 0.1, "verdict": "holds here", "controls": {"trivial": 3.0}}
    silent = claim | {"id": "C2", "value": None, "verdict": "not run"}
    environment = {"date": "2026-11-28T05:46:12+00:00", "cpus": 2, "platform": "Linux", "python": "3.11.7",
                   "packages": {"torch": "2.13.0"}, "commit": None}
    return {"notebook": "01_name", "profile": "full", "seed": 0, "source": "embedded", "seconds": 61.7, "status": "ok",
            "claims": [claim, silent], "environment": environment} | changes


def test_a_record_is_read_as_it_was_measured(tmp_path):
    (tmp_path / "01_name.json").write_text(json.dumps(result()))
    assert [path.name for path in record.keep(tmp_path, tmp_path / "record")] == ["01_name.toml"]
    found = record.load("01_name", tmp_path / "record")
    assert (found["profile"], found["seconds"], found["date"], found["commit"]) == ("full", 62, "2026-11-28", "")
    assert found["values"] == {"C1.stand": {"value": 1.25, "interval": 0.1, "verdict": "holds here",
                                            "controls": {"trivial": 3.0}}}
    assert record.load("02_other", tmp_path / "record") is None


def test_what_did_not_run_is_not_kept(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no results"):
        record.keep(tmp_path, tmp_path / "record")
    for there in (result(claims=[], status="failed: cell 3"), result(status="failed: C1.stand left its band")):
        (tmp_path / "01_name.json").write_text(json.dumps(there))
        with pytest.raises(ValueError, match="01_name: failed: "):
            record.keep(tmp_path, tmp_path / "record")
    assert not (tmp_path / "record").exists()
