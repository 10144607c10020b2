"""Measure bands: run a notebook over seeds and keep every seed's values in data/bands/NN_name.toml.

    csi-papers bands notebooks/01_svm_fingerprinting.ipynb --profile smoke --seeds 0:10

The rule that makes a band of the values is `csi_utils.verdicts.band`.
"""

import datetime
import tomllib
from pathlib import Path

import tomlkit

from csi_utils import ROOT, claims
from csi_utils.verdicts import MIN_SEEDS, BandError, band

from .provenance import write as write_text
from .runner import default_source, in_parallel, real_data, run_notebook

HEADER = "# Measured by `csi-papers bands`, never by hand: the value of every seed, and of every control.\n"


def measure(notebooks, profile, seeds, source=None, folder=None, out_dir=None, jobs=2, say=print):
    """Run the seeds (jobs kernels at a time) and write the bands. Returns {(notebook, measure): band}.

    folder: holds claims/ and bands/ (default data/ of the checkout). out_dir: where the runs go. Raises BandError, and
    writes nothing, when a run fails, a measure is there in some seeds only, or a measure does not beat its controls
    without having declared so.
    """
    if len(set(seeds)) < MIN_SEEDS:
        raise BandError(f"seeds: got {len(set(seeds))}, expected {MIN_SEEDS} or more different ones")
    folder, out_dir = Path(folder or ROOT / "data"), Path(out_dir or ROOT / "build" / "bands" / profile)
    source = source or default_source(profile)
    real, records = real_data(source, say), {}

    def one(task):
        notebook, seed = task
        return run_notebook(notebook, out_dir / f"seed-{seed}", profile, source, seed, workers=1, measure=True,
                            real=real)

    tasks = [(notebook, seed) for seed in seeds for notebook in notebooks]
    for (notebook, seed), result in in_parallel(one, tasks, jobs):
        say(f"{Path(notebook).stem}, seed {seed}: {result['status']} ({result['seconds']:.1f} s)")
        if result["status"] != "ok":
            raise BandError(f"{Path(notebook).stem}, seed {seed}: {result['status']}")
        for record in result["claims"]:
            if record["value"] is not None:
                records.setdefault(record["ledger"], {}).setdefault(record["id"], {})[seed] = record
    found, written, refused = {}, {}, []
    for stem, by_measure in sorted(records.items()):
        declared = claims.load(stem, folder)["measures"]
        for mid, by_seed in by_measure.items():
            try:
                written.setdefault(stem, {})[mid] = recorded = _recorded(declared[mid], by_seed, list(seeds))
                found[stem, mid] = band(declared[mid], recorded)
            except BandError as err:
                refused.append(f"{stem}.{mid}: {err}")
    if refused:
        raise BandError("; ".join(refused))
    for stem, entries in written.items():
        write(folder / "bands" / f"{stem}.toml", {profile: entries})
    return found


def _recorded(declared, by_seed, seeds):
    if missing := [seed for seed in seeds if seed not in by_seed]:
        raise BandError(f"no value for seeds {missing}, expected all or none")
    intervals = {"intervals": [by_seed[seed]["interval"] for seed in seeds]} if "over" in declared else {}
    if None in intervals.get("intervals", ()):
        raise BandError(f"the interval is over {declared['over']}, expected one with each value, got none")
    return {"date": datetime.date.today().isoformat(), "seeds": seeds,
            "values": [by_seed[seed]["value"] for seed in seeds], **intervals,
            "controls": {name: [by_seed[seed]["controls"][name] for seed in seeds] for name in declared["controls"]}}


def write(path, found):
    """Put {profile: {measure: recorded}} into a bands file; a measured profile is written whole, the others stay."""
    kept = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    kept |= found
    path.parent.mkdir(parents=True, exist_ok=True)
    in_order = {profile: kept[profile] for profile in claims.PROFILES if profile in kept}
    write_text(path, f"{HEADER}\n{tomlkit.dumps(in_order)}")
