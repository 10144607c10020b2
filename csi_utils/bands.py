"""Bands of data/claims.toml: measured over seeds, written with their rule, and checked to follow from it.

    python -m csi_utils bands notebooks/01_svm_fingerprinting.ipynb --profile smoke --seeds 0:10

The rule: mean ± k·sd over the seeds, rounded outward to four digits, and no wider towards the controls than
half-way from the mean to the best control of any seed.
"""

import datetime
import math
import statistics
import sys
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path

from . import claims

RULE = "mean ± k·sd, kept clear of the controls"
MIN_SEEDS = 10


class BandError(ValueError):
    """A band cannot be had from these values; the message says what came and what was expected."""


def compute(values, controls=None, better="lower", k=4.0, may_fail=False):
    """The band of one measure, in its unit: dict with low, high, mean, sd, and with controls floor and beats_controls.

    values: one a seed. controls: name -> one value a seed. better: lower | higher. may_fail: the measure
    declares that it may not beat its controls; its band then has beats_controls = False and is not cut.
    Raises BandError for fewer than two values, a value that is not finite, or controls that are not beaten.
    """
    if len(values) < 2 or not all(math.isfinite(v) for v in values):
        raise BandError(f"values: got {values}, expected at least two finite numbers")
    if not (math.isfinite(k) and k > 0):
        raise BandError(f"k: got {k}, expected a number above 0")
    mean, sd = statistics.fmean(values), statistics.stdev(values)
    half = max(k * sd, 1e-9 * abs(mean))  # a value without spread keeps room for rounding
    band = {"low": _round(mean - half, up=False), "high": _round(mean + half, up=True), "mean": mean, "sd": sd}
    rivals = [v for series in (controls or {}).values() for v in series]
    if not rivals:
        return band
    lower = better == "lower"
    best = min(rivals) if lower else max(rivals)
    floor = _round((mean + best) / 2, up=not lower)
    beats = max(values) <= floor < best if lower else min(values) >= floor > best
    if beats:
        end, pick = ("high", min) if lower else ("low", max)
        band[end] = pick(band[end], floor)
        return band | {"floor": floor, "beats_controls": True}
    if not may_fail:
        worst = max(values) if lower else min(values)
        raise BandError(f"mean {mean:.4g} and worst seed {worst:.4g} do not beat the best control {best:.4g} by a "
                        "margin; if that is the finding, declare may_fail_controls = \"reason\"")
    return band | {"beats_controls": False}


def _round(value, up, digits=4):
    exact = Decimal(repr(value))
    quantum = Decimal(1).scaleb(exact.adjusted() - digits + 1)
    return float(exact.quantize(quantum, rounding=ROUND_CEILING if up else ROUND_FLOOR))


def problems(measure):
    """Why the bands of one measure (an entry of claims.toml) are not to be trusted: a list of sentences."""
    found = []
    for profile, band in measure.get("bands", {}).items():
        found += [f"{profile}: {text}" for text in _problems(measure, band)]
    return found


def follows(measure):
    """Does every band of this measure follow from its recorded seeds, ten at least, and keep its controls out?"""
    return not problems(measure)


def _problems(measure, band):
    needed = ("low", "high", "mean", "sd", "k", "seeds", "values", "controls", "rule", "date")
    if missing := [key for key in needed if key not in band]:
        return [f"the band lacks {', '.join(missing)}"]
    found = []
    seeds, values, controls = band["seeds"], band["values"], band["controls"]
    if len(set(seeds)) < MIN_SEEDS:
        found.append(f"{len(set(seeds))} seeds, expected {MIN_SEEDS} or more")
    if any(len(series) != len(seeds) for series in (values, *controls.values())):
        found.append("values and controls are not one for each seed")
    if sorted(controls) != sorted(measure.get("controls", [])):
        found.append(f"controls of {sorted(controls)}, the measure declares {sorted(measure.get('controls', []))}")
    try:
        again = compute(values, controls, measure["better"], band["k"], "may_fail_controls" in measure)
    except BandError as err:
        return [*found, str(err)]
    for key, expected in again.items():
        if key not in band or not math.isclose(band[key], expected, rel_tol=1e-9, abs_tol=1e-15):
            found.append(f"{key} is {band.get(key)}, its seeds give {expected}")
    if band.get("beats_controls", not controls):
        for name, series in controls.items():
            if not all(claims.excludes(band, measure["better"], control) for control in series):
                found.append(f"the control {name} would pass")
    elif "may_fail_controls" not in measure:
        found.append("beats_controls is false, and may_fail_controls is not declared")
    return found


def audit(path=None):
    """`problems` of every measure of a claims file (default data/claims.toml), each with its name in front."""
    return [f"{name}.{mid}, {text}" for name, ledger in claims.load(path).items()
            for mid, measure in ledger["measures"].items() for text in problems(measure)]


def measure(notebooks, profile, seeds, source=None, k=4.0, path=None, out_dir=None, jobs=2, say=print):
    """Run the seeds (jobs kernels of one thread each) and write the bands. Returns {(ledger, measure): band}.

    path: the claims file that is written (default data/claims.toml). out_dir: where the runs go. Raises
    BandError, and writes nothing, when a run fails, a measure is there in some seeds only, or a measure does
    not beat its controls without having declared so.
    """
    from .provenance import ROOT
    from .run import in_parallel, real_data, run_notebook
    if len(set(seeds)) < MIN_SEEDS:
        raise BandError(f"seeds: got {len(set(seeds))}, expected {MIN_SEEDS} or more different ones")
    out_dir = Path(out_dir or ROOT / "build" / "bands" / profile)
    source = source or ("embedded" if profile == "smoke" else "auto")
    real = real_data(source)
    records = {}

    def one(task):
        notebook, seed = task
        return run_notebook(notebook, out_dir / f"seed-{seed}", profile, source, seed, threads=1, measure=True,
                            real=real)

    tasks = [(notebook, seed) for seed in seeds for notebook in notebooks]
    for (notebook, seed), result in in_parallel(one, tasks, jobs):
        say(f"{Path(notebook).stem}, seed {seed}: {result['status']} ({result['seconds']:.1f} s)")
        if result["status"] != "ok":
            raise BandError(f"{Path(notebook).stem}, seed {seed}: {result['status']}")
        for record in result["claims"]:
            if record["value"] is not None:
                records.setdefault((record["ledger"], record["id"]), {})[seed] = record
    ledgers, found, refused = claims.load(path), {}, []
    for (ledger, mid), by_seed in sorted(records.items()):
        try:
            found[ledger, mid] = _band(ledgers[ledger]["measures"][mid], by_seed, list(seeds), k)
        except BandError as err:
            refused.append(f"{ledger}.{mid}: {err}")
    if refused:
        raise BandError("; ".join(refused))
    write(found, profile, path)
    return found


def _band(declared, by_seed, seeds, k):
    if missing := [seed for seed in seeds if seed not in by_seed]:
        raise BandError(f"no value for seeds {missing}, expected all or none")
    values = [by_seed[seed]["value"] for seed in seeds]
    controls = {name: [by_seed[seed]["controls"][name] for seed in seeds] for name in declared["controls"]}
    band = compute(values, controls, declared["better"], k, "may_fail_controls" in declared)
    return band | {"k": k, "seeds": seeds, "values": values, "controls": controls, "rule": RULE,
                   "date": datetime.date.today().isoformat()}


def write(found, profile, path=None):
    """Put {(ledger, measure): band} into the claims file; comments and everything else in it stay."""
    import tomlkit

    from .provenance import write as write_text
    path = Path(path or claims.CLAIMS_TOML)
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    for (ledger, mid), band in found.items():
        entry = document[ledger]["measures"][mid]
        if "bands" not in entry:
            entry["bands"] = tomlkit.table(is_super_table=True)
        table = tomlkit.table()
        for key, value in band.items():
            if isinstance(value, dict):
                inline = tomlkit.inline_table()
                inline.update(value)
                value = inline
            table[key] = value
        entry["bands"][profile] = table
    write_text(path, tomlkit.dumps(document))


def command(args):
    """`python -m csi_utils bands`, from parsed arguments. Returns the exit status."""
    try:
        found = measure(args.notebooks, args.profile, args.seeds, args.source, args.k)
    except (BandError, claims.ClaimsError) as err:
        print(f"no bands written: {err}", file=sys.stderr)
        return 1
    for (ledger, mid), band in found.items():
        kept = "" if band.get("beats_controls", True) else " (does not beat its controls, as declared)"
        print(f"{ledger} {mid}: {band['low']:g} to {band['high']:g}, mean {band['mean']:.4g}{kept}")
    return 0
