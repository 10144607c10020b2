"""Bands are measured over seeds, kept value by value, and judge the next run."""

import tomllib

import pytest
from bad_notebooks import build

from csi_papers.run import bands
from csi_papers.run.runner import run_notebook
from csi_utils import claims, verdicts

RECORDED = {"date": "2026-11-28", "seeds": list(range(10)), "values": [0.1 + 0.2 * seed for seed in range(10)],
            "controls": {"trivial": [9.0] * 10}}


def test_every_bit_is_written_and_the_other_profiles_stay(tmp_path):
    file = tmp_path / "bands" / "tiny.toml"
    without = {key: value for key, value in RECORDED.items() if key != "controls"}
    bands.write(file, {"standard": {"C1.answer": RECORDED, "C2": without}})
    bands.write(file, {"smoke": {"C1.answer": RECORDED, "C9": RECORDED}})
    bands.write(file, {"smoke": {"C1.answer": RECORDED}})  # written whole: C9 is no longer measured
    assert tomllib.loads(file.read_text(encoding="utf-8")) == {
        "smoke": {"C1.answer": RECORDED}, "standard": {"C1.answer": RECORDED, "C2": without}}
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("#") and sum(line.startswith("values") for line in lines) == 3  # a line for each series


def test_too_few_seeds_are_refused_before_anything_runs(tmp_path):
    with pytest.raises(verdicts.BandError, match="seeds: got 2, expected 10 or more different ones"):
        bands.measure([tmp_path / "absent.ipynb"], "smoke", [1, 2, 1, 2, 1, 2, 1, 2, 1, 2])


def seed_runs(monkeypatch, records_of):
    """Instead of a kernel: what each seed's run records, as records_of(seed) says."""
    monkeypatch.setattr(bands, "run_notebook", lambda notebook, out, profile, source, seed, **_: {
        "status": "ok", "seconds": 0.0, "claims": records_of(seed)})


def record(seed, value, id="C1.answer"):
    return {"ledger": "tiny", "id": id, "value": value, "controls": {"trivial": 0.0}}


@pytest.mark.parametrize(("records_of", "message"), [
    (lambda seed: [record(seed, 42.0)] if seed else [], r"tiny.C1.answer: no value for seeds \[0\], expected all or"),
    (lambda seed: [record(seed, seed - 1.0)], "tiny.C1.answer: mean .* do not beat the best control 0"),
])
def test_what_is_no_band_is_refused_and_nothing_is_written(tmp_path, monkeypatch, records_of, message):
    notebook = build("good", tmp_path)
    file = tmp_path / "bands" / "tiny.toml"
    before = file.read_bytes()
    seed_runs(monkeypatch, records_of)
    with pytest.raises(verdicts.BandError, match=message):
        bands.measure([notebook], "smoke", range(10), folder=tmp_path, out_dir=tmp_path / "runs", say=lambda *_: None)
    assert file.read_bytes() == before


def test_an_interval_over_units_is_recorded_with_each_value(tmp_path, monkeypatch):
    declared = {"over": "rounds", "controls": []}
    by_seed = {seed: {"value": 1.0 + seed, "interval": 0.5, "controls": {}} for seed in range(2)}
    assert bands._recorded(declared, by_seed, [0, 1])["intervals"] == [0.5, 0.5]
    by_seed[1]["interval"] = None
    with pytest.raises(verdicts.BandError, match="over rounds, expected one with each value"):
        bands._recorded(declared, by_seed, [0, 1])
    file = tmp_path / "bands" / "tiny.toml"
    bands.write(file, {"smoke": {"C1": RECORDED | {"intervals": [0.5] * 10}}})
    assert tomllib.loads(file.read_text(encoding="utf-8"))["smoke"]["C1"]["intervals"] == [0.5] * 10


def test_a_run_that_fails_ends_it(tmp_path, monkeypatch):
    monkeypatch.setattr(bands, "run_notebook", lambda *_, **__: {"status": "failed: x", "seconds": 0.0, "claims": []})
    with pytest.raises(verdicts.BandError, match="tiny, seed .: failed: x"):
        bands.measure(["tiny.ipynb"], "smoke", range(10), folder=tmp_path, out_dir=tmp_path, say=lambda *_: None)


@pytest.mark.notebook
def test_measured_bands_judge_the_next_run(tmp_path):
    """The whole way: ten seeds, bands written, then the same notebook holds them and another one does not."""
    notebook, out = build("spread", tmp_path), tmp_path / "out"
    assert "no band yet" in run_notebook(notebook, out)["status"]
    assert run_notebook(notebook, out, "full")["status"] == "ok"  # one run that is kept needs no band
    found = bands.measure([notebook], "smoke", list(range(10)), folder=tmp_path, out_dir=tmp_path / "runs",
                          say=lambda *_: None)
    measure = claims.load("spread", tmp_path)["measures"]["C1"]
    values = measure["recorded"]["smoke"]["values"]
    assert len(set(values)) == 10 and found == {("spread", "C1"): measure["bands"]["smoke"]}
    after = run_notebook(notebook, out, seed=3)
    assert after["status"] == "ok" and after["claims"][0]["value"] == values[3]
    shifted = run_notebook(notebook, out, parameters={"shift": 5.0})
    assert "left its band" in shifted["status"]
