"""The claims ledger: a paper's number, ours, the band ours must fall in, and the verdict.

    ledger = claims.open("svm_fingerprinting", profile=profile, seed=seed)
    ledger.record("C3.next-day", error, dataset="sim-lab", protocol="grid, then day 2", trivial=3.1)
    ledger.close()      # shows the tables; raises OutOfBand when a value left its band

What is claimed is written by hand in data/claims/NN_name.toml: [claims.ID] is what the paper says, [additions.ID] what
we ask ourselves, [measures.ID] one number of ours for either. `csi-papers bands` writes what it measures over seeds
into data/bands/NN_name.toml; bands and pooled verdicts follow from those values (`verdicts`).
"""

import contextlib
import math
import os
import tomllib
from pathlib import Path

from . import ROOT, in_notebook, verdicts

MIME = "application/vnd.csi-claims+json"
PROFILES = ("smoke", "standard", "full")
OPENED = []  # every ledger of this process, for the guard of the strict runner


class ClaimsError(ValueError):
    """A claims file or a call of the ledger is wrong; the message says what came and what was expected."""


class OutOfBand(AssertionError):
    """Raised by `Ledger.close`: a value left its band, a control passed, or a measure is missing."""


def load(stem, folder=None):
    """Read and check the claims and recorded seeds of one notebook. Returns a dict: notebook, title, claims, measures.

    stem: name of the notebook, NN_name. folder: holds claims/ and bands/ (default: data/ of the checkout). Claims and
    additions are one dict, told apart by "kind"; each measure has "recorded" and "bands", by profile. Raises
    FileNotFoundError, and ClaimsError that names the entry, what it holds and what was expected.
    """
    folder = Path(folder or ROOT / "data")
    path = folder / "claims" / f"{stem}.toml"
    if not path.is_file():
        raise FileNotFoundError(f"stem: no file claims/{stem}.toml in {folder.name}/")
    ledger, bands = _toml(path), folder / "bands" / f"{stem}.toml"
    with _at(stem):
        _require(ledger, title=str)
    claims = {cid: claim | {"kind": "claim"} for cid, claim in ledger.get("claims", {}).items()}
    for cid, entry in ledger.get("additions", {}).items():
        with _at(f"{stem}.additions.{cid}"):
            _require(entry, asks=str)
            if cid in claims:
                raise ValueError(f"there is a claim {cid} too, expected another name")
        claims[cid] = entry | {"kind": "addition", "says": entry["asks"], "evidence": "paper"}
    measures = ledger.get("measures", {})
    for cid, claim in claims.items():
        with _at(f"{stem}.claims.{cid}"):
            _check_claim(claim, any(claim_of(mid) == cid for mid in measures))
    for mid, measure in measures.items():
        with _at(f"{stem}.measures.{mid}"):
            _check_measure(claim_of(mid), measure, claims)
    for profile, entries in (_toml(bands) if bands.is_file() else {}).items():
        with _at(f"bands/{bands.name}"):
            _among("profile", profile, PROFILES)
        for mid, recorded in entries.items():
            with _at(f"bands/{bands.name}, {profile}, {mid}"):
                _add_band(mid, measures, profile, recorded)
    return {"notebook": stem, "title": ledger["title"], "claims": claims, "measures": measures}


def load_all(folder=None):
    """`load` of every notebook that has claims: stem -> ledger, in order."""
    return {stem: load(stem, folder) for stem in _stems(folder)}


def _stems(folder):
    return sorted(path.stem for path in (Path(folder or ROOT / "data") / "claims").glob("*.toml"))


def _toml(path):
    with _at(f"{path.parent.name}/{path.name}: not valid TOML"):
        return tomllib.loads(path.read_text(encoding="utf-8"))


@contextlib.contextmanager
def _at(place):
    """What is wrong inside is said with its place."""
    try:
        yield
    except ValueError as err:
        raise ClaimsError(f"{place}: {err}") from None


def _require(entry, /, optional=False, **kinds):
    for key, kind in kinds.items():
        value = entry.get(key)
        if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
            if key in entry or not optional:
                raise ValueError(f"{key} is {value!r}, expected {kind}")


def _among(key, value, choices):
    if value not in choices:
        raise ValueError(f"{key} is {value!r}, expected one of {', '.join(choices)}")


def _check_claim(claim, measured):
    _require(claim, says=str, evidence=str)
    _require(claim, optional=True, not_testable=str)
    _among("evidence", claim["evidence"], verdicts.EVIDENCE)
    if "value" in claim:
        _require(claim, value=int | float, unit=str, where=str)
        if claim["evidence"] == "unverified":
            raise ValueError(f"value is {claim['value']} with evidence 'unverified', which is never printed as the "
                             "paper's; expected a source, or no value")
    if measured == ("not_testable" in claim):
        raise ValueError(f"got {'both' if measured else 'neither'} of a measure and not_testable = \"what would be "
                         "needed\", expected one")


def _check_measure(cid, measure, claims):
    if cid not in claims:
        raise ValueError(f"no claim or addition {cid!r}; expected one of {', '.join(claims)}")
    for key, default in (("same_data", False), ("controls", []), ("profiles", list(PROFILES))):
        measure.setdefault(key, default)
    measure |= {"recorded": {}, "bands": {}}
    _require(measure, dataset=str, what=str, unit=str, holds=str, better=str, same_data=bool, controls=list)
    _require(measure, optional=True, needs=str, may_fail_controls=str, not_tested=str, over=str, absence=int | float)
    _among("better", measure["better"], ("lower", "higher"))
    possible = measure.get("possible", [0, 1])
    if not (isinstance(possible, list) and len(possible) == 2 and possible[0] < possible[1]):
        raise ValueError(f"possible is {possible!r}, expected [lowest, highest]")
    for profile in measure["profiles"]:
        _among("profile", profile, PROFILES)
    verdicts.satisfies(0.0, measure["holds"])


def _add_band(mid, measures, profile, recorded):
    if mid not in measures:
        raise ValueError(f"no such measure; expected one of {', '.join(measures)}")
    measure, controls, seeds = measures[mid], recorded.setdefault("controls", {}), recorded["seeds"]
    if sorted(controls) != sorted(measure["controls"]):
        raise ValueError(f"controls are {sorted(controls)}, the measure declares {sorted(measure['controls'])}")
    if "over" in measure and "intervals" not in recorded:
        raise ValueError(f"the interval is over {measure['over']}, but none are recorded; measure the bands anew")
    lengths = [len(series) for series in (recorded["values"], *controls.values())]
    if len(recorded.get("intervals", seeds)) != len(seeds):
        raise ValueError(f"got {len(recorded['intervals'])} intervals, expected one for each of {len(seeds)} seeds")
    if len(set(seeds)) < verdicts.MIN_SEEDS or set(lengths) != {len(seeds)}:
        raise ValueError(f"got {len(set(seeds))} seeds with {lengths} values, expected {verdicts.MIN_SEEDS} seeds or "
                         "more and one value for each")
    measure["bands"][profile] = verdicts.band(measure, recorded)
    measure["recorded"][profile] = recorded


def claim_of(measure_id):
    """The claim or addition that a measure belongs to: "C3.next-day" -> "C3"."""
    return measure_id.split(".", 1)[0]


def row(id, claim, measure, **found):
    """One row of a ledger's tables, as a dict: what is declared, and what was found (nothing, without `found`).

    claim, measure: from `load`; measure is {} for a claim that is not testable.
    """
    # A number in another unit (a ratio, say) must not stand beside the paper's metres.
    unit = measure.get("unit", claim.get("unit"))
    declared = {key: measure.get(key) for key in ("what", "better", "holds", "dataset")}
    empty = {"value": None, "interval": None, "trivial_holds": False, "protocol": None, "band": None, "power": False,
             "in_band": None, "controls": {}, "pooled": None, "reason": None}
    return {"id": id, "claim": claim_of(id), "kind": claim["kind"], "says": claim["says"], "unit": unit,
            "paper_value": claim.get("value") if unit == claim.get("unit") else None, "where": claim.get("where"),
            "evidence": claim["evidence"], **declared, **empty, **found}


def unmeasured(measure):
    """Verdict and reason, as a dict, of a measure in a profile that it is not measured in."""
    if "not_tested" in measure:
        return {"verdict": "not tested at this budget", "reason": measure["not_tested"]}
    return {"verdict": "not run", "reason": f"measured in profile {' and '.join(measure['profiles'])} only"}


def open(name, profile, seed, folder=None):
    """Open the ledger of a notebook for one run.

    name: the notebook's, with or without its number. profile: smoke | standard | full. seed: int. folder: as in `load`.
    The environment variable CSI_CLAIMS_MEASURE=1, which `csi-papers bands` sets, measures without judging. Raises
    ClaimsError naming the argument.
    """
    found = [stem for stem in _stems(folder) if name in (stem, stem[3:])]
    if len(found) != 1:
        raise ClaimsError(f"name: no ledger {name!r}; expected one of {', '.join(_stems(folder)) or '(none)'}")
    if profile not in PROFILES:
        raise ClaimsError(f"profile: got {profile!r}, expected one of {', '.join(PROFILES)}")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise ClaimsError(f"seed: got {seed!r}, expected an int")
    ledger = Ledger(load(found[0], folder), profile, seed, os.environ.get("CSI_CLAIMS_MEASURE") == "1")
    OPENED.append(ledger)
    return ledger


class Ledger:
    """One run's records against its notebook's claims; made by `claims.open`."""

    def __init__(self, declared, profile, seed, measuring):
        self.name, self.profile, self.seed, self.measuring = declared["notebook"], profile, seed, measuring
        self.title, self.claims, self.measures = declared["title"], declared["claims"], declared["measures"]
        self.records, self.closed = {}, False

    def record(self, id, value, *, dataset, protocol, interval=None, **controls):
        """Record our value of one measure.

        value: finite scalar in the measure's unit, or a `trials.Estimate`, which brings its interval. dataset: the
        name declared for the measure. protocol: how it was split and scored, in words. interval: half width of the
        95 % interval, where there are repeats; a verdict that changes within it is "undecided". controls: the value
        that each declared control reached (trivial=, shuffled=), a number or an Estimate. Raises ClaimsError naming
        the argument, what came and what was expected.
        """
        measure = self._declared(id)
        if interval is None:
            interval = getattr(value, "half_width", None)
        value = _number("value", value)
        if dataset != measure["dataset"]:
            raise ClaimsError(f"dataset: got {dataset!r} for {id}, expected {measure['dataset']!r}")
        _words("protocol", protocol, id, "words on split and score")
        expected = sorted(measure["controls"])
        if sorted(controls) != expected:
            raise ClaimsError(f"controls: got {sorted(controls)} for {id}, expected {expected}")
        controls = {key: _number(key, control) for key, control in controls.items()}
        interval = None if interval is None else abs(_number("interval", interval))
        found, over_seeds = {}, verdicts.pooled(measure, self.profile)
        if band := measure["bands"].get(self.profile):
            found = {"band": [band["low"], band["high"]], "power": band["power"], "pooled": over_seeds[2],
                     "in_band": band["low"] <= value <= band["high"]}
        self._keep(id, value=value, interval=interval, protocol=protocol, controls=controls,
                   trivial_holds=verdicts.met_by_trivial(controls.get("trivial"), measure),
                   verdict=verdicts.judge(value, interval, measure), **found)

    def not_run(self, id, reason):
        """State that a measure's real data are absent in this run. ClaimsError unless it declares `needs`."""
        if "needs" not in self._declared(id):
            raise ClaimsError(f"id: {id} may not be left out, expected one that declares needs = \"...\"")
        _words("reason", reason, id, "words")
        self._keep(id, reason=reason, verdict="not run")

    def close(self):
        """Show the tables, emit the records (MIME type `MIME`), then raise OutOfBand listing every problem."""
        problems = [] if self.measuring else self._out_of_band()
        self.closed = True
        for mid, measure in self.measures.items():
            if mid in self.records:
                continue
            if self.profile in measure["profiles"]:
                problems.append(f"{mid}: neither recorded nor stated as not run")
            else:
                self._keep(mid, **unmeasured(measure))
        for cid, claim in self.claims.items():
            if "not_testable" in claim:
                self._keep(cid, verdict="not testable", reason=claim["not_testable"])
        claims, order = list(self.claims), [*self.measures, *self.claims]
        records = sorted(self.records.values(), key=lambda r: (claims.index(r["claim"]), order.index(r["id"])))
        # A row of another profile is shown only where its claim has no other; the records keep them all.
        here = {record["claim"] for record in records if self._meant(record)}
        self._show(records, [r for r in records if self._meant(r) or r["claim"] not in here], problems)
        if problems:
            raise OutOfBand(f"{self.name}, profile {self.profile}, seed {self.seed}: " + "; ".join(problems))

    def _meant(self, record):
        return self.profile in self.measures.get(record["id"], {"profiles": PROFILES})["profiles"]

    def _declared(self, id):
        if id not in self.measures:
            raise ClaimsError(f"id: got {id!r}, expected one of {', '.join(self.measures)}")
        # A person who runs a cell again in JupyterLab may record again; the strict runner may not.
        if not in_notebook() or "CSI_GUARD_TOKEN" in os.environ:
            if self.closed:
                raise ClaimsError(f"id: {id} came after close(); expected every record before it")
            if id in self.records:
                raise ClaimsError(f"id: {id} is already recorded; expected one record a run")
        profiles = self.measures[id]["profiles"]
        if self.profile not in profiles:
            raise ClaimsError(f"id: {id} came in profile {self.profile}, expected only in {', '.join(profiles)}")
        return self.measures[id]

    def _keep(self, id, **found):
        self.records[id] = kept = row(id, self.claims[claim_of(id)], self.measures.get(id, {}), ledger=self.name,
                                      profile=self.profile, seed=self.seed, **found)
        if not self.closed:
            band = f"; band {verdicts.check_text(kept)}" if kept["band"] else ""
            ours = kept["reason"] or f"{verdicts.ours_text(kept)} (holds if {kept['holds']}{band})"
            print(f"{id}, {kept['what']}: {ours}: {verdicts.verdict_text(kept)}")

    def _out_of_band(self):
        problems, missing = [], []
        for mid, kept in self.records.items():
            if kept["value"] is None:
                continue
            measure, unit, band = self.measures[mid], kept["unit"], verdicts.band_text(kept)
            if kept["band"] is None:
                # Ten full runs are asked of nobody: `csi-papers record` keeps one.
                missing += [mid] if self.profile != "full" else []
                continue
            if not kept["in_band"]:
                problems.append(f"{mid}: {verdicts.number(kept['value'], unit)} left its band {band}")
            if "may_fail_controls" in measure and not kept["power"]:
                continue
            problems += [f"{mid}: the control {key}, {verdicts.number(control, unit)}, is not kept out by the band "
                         f"{band}" for key, control in kept["controls"].items()
                         if not verdicts.keeps_out(measure["bands"][self.profile], measure["better"], control)]
        if missing:
            problems.append(f"no band yet for profile {self.profile}: {', '.join(missing)} "
                            "(`csi-papers bands` measures them)")
        return problems

    def _show(self, records, shown, problems):
        bundle = {MIME: {"ledger": self.name, "profile": self.profile, "seed": self.seed, "records": records,
                         "problems": problems},
                  "text/html": verdicts.html_tables(self.title, shown), "text/plain": verdicts.text_table(shown)}
        if in_notebook():
            from IPython.display import display
            display(bundle, raw=True)
        else:
            print(bundle["text/plain"])


def _words(argument, value, id, expected):
    if not isinstance(value, str) or not value.strip():
        raise ClaimsError(f"{argument}: got {value!r} for {id}, expected {expected}")


def _number(argument, value):
    if hasattr(value, "half_width"):
        value = value.mean  # a trials.Estimate
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()  # numpy and torch scalars, exactly
    if isinstance(value, bool) or not isinstance(value, int | float):
        shape = f" of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
        raise ClaimsError(f"{argument}: got {type(value).__name__}{shape}, expected one real number")
    if not math.isfinite(value):
        raise ClaimsError(f"{argument}: got {value}, expected a finite number")
    return float(value)
