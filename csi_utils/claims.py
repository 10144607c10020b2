"""The claims ledger: a paper's number, ours, the band ours must fall in, and the verdict.

    ledger = claims.open("svm_fingerprinting", profile=profile, seed=seed)
    ledger.record("C3.next-day", error, dataset="sim-lab", protocol="grid, then day 2", trivial=3.1)
    ledger.close()      # shows the tables; raises OutOfBand when a value left its band

What is claimed is written by hand in data/claims/NN_name.toml: [claims.ID] is what the paper says, [additions.ID] what
we ask ourselves, [measures.ID] one number of ours for either. `csi-papers bands` writes what it measures over seeds
into data/bands/NN_name.toml; bands and pooled verdicts follow from those values (`verdicts`).
"""

import math
import os
import sys
import tomllib
from pathlib import Path

from . import ROOT, verdicts

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
    folder = Path(folder) if folder is not None else ROOT / "data"
    path = folder / "claims" / f"{stem}.toml"
    if not path.is_file():
        raise FileNotFoundError(f"stem: no file claims/{stem}.toml in {folder.name}/")
    ledger = _toml(path)
    _require(ledger, path.stem, "title", str)
    claims = {cid: claim | {"kind": "claim"} for cid, claim in ledger.get("claims", {}).items()}
    for cid, entry in ledger.get("additions", {}).items():
        _require(entry, f"{stem}.additions.{cid}", "asks", str)
        if cid in claims:
            raise ClaimsError(f"{stem}.additions.{cid}: there is a claim {cid} too, expected another name")
        claims[cid] = entry | {"kind": "addition", "says": entry["asks"], "evidence": "paper"}
    measures = ledger.get("measures", {})
    for cid, claim in claims.items():
        _check_claim(f"{stem}.claims.{cid}", cid, claim, measures)
    for mid, measure in measures.items():
        _check_measure(f"{stem}.measures.{mid}", mid, measure, claims)
    _add_bands(folder / "bands" / f"{stem}.toml", measures)
    return {"notebook": stem, "title": ledger["title"], "claims": claims, "measures": measures}


def load_all(folder=None):
    """`load` of every notebook that has claims: stem -> ledger, in order."""
    folder = Path(folder) if folder is not None else ROOT / "data"
    return {path.stem: load(path.stem, folder) for path in sorted((folder / "claims").glob("*.toml"))}


def _toml(path):
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as err:
        raise ClaimsError(f"{path.parent.name}/{path.name}: not valid TOML ({err})") from err


def _names(names):
    return ", ".join(names) or "(none)"


def _require(entry, where, key, kind, choices=None):
    value = entry.get(key)
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise ClaimsError(f"{where}: {key} is {value!r}, expected {kind}")
    if choices is not None and value not in choices:
        raise ClaimsError(f"{where}: {key} is {value!r}, expected one of {', '.join(choices)}")


def _check_claim(where, cid, claim, measures):
    _require(claim, where, "says", str)
    _require(claim, where, "evidence", str, tuple(verdicts.EVIDENCE))
    if "value" in claim:
        _require(claim, where, "value", int | float)
        _require(claim, where, "unit", str)
        _require(claim, where, "where", str)
        if claim["evidence"] == "unverified":
            raise ClaimsError(f"{where}: value is {claim['value']} with evidence 'unverified', "
                              "which is never printed as the paper's; expected a source, or no value")
    measured = any(claim_of(mid) == cid for mid in measures)
    if "not_testable" in claim:
        _require(claim, where, "not_testable", str)
    if measured == ("not_testable" in claim):
        raise ClaimsError(f"{where}: got {'both' if measured else 'neither'} of a measure and "
                          "not_testable = \"what would be needed\", expected one")


def _check_measure(where, mid, measure, claims):
    if claim_of(mid) not in claims:
        raise ClaimsError(f"{where}: no claim or addition {claim_of(mid)!r}; expected one of {_names(claims)}")
    for key in ("dataset", "what", "unit", "holds"):
        _require(measure, where, key, str)
    _require(measure, where, "better", str, ("lower", "higher"))
    measure.setdefault("same_data", False)
    _require(measure, where, "same_data", bool)
    measure.setdefault("controls", [])
    _require(measure, where, "controls", list)
    for key in ("needs", "may_fail_controls", "not_tested"):
        if key in measure:
            _require(measure, where, key, str)
    if "absence" in measure:
        _require(measure, where, "absence", int | float)
    possible = measure.get("possible", [0, 1])
    if not (isinstance(possible, list) and len(possible) == 2 and possible[0] < possible[1]):
        raise ClaimsError(f"{where}: possible is {possible!r}, expected [lowest, highest]")
    for profile in measure.setdefault("profiles", list(PROFILES)):
        if profile not in PROFILES:
            raise ClaimsError(f"{where}: profile is {profile!r}, expected one of {_names(PROFILES)}")
    try:
        verdicts.satisfies(0.0, measure["holds"])
    except ValueError as err:
        raise ClaimsError(f"{where}: {err}") from None


def _add_bands(path, measures):
    for measure in measures.values():
        measure |= {"recorded": {}, "bands": {}}
    if not path.is_file():
        return
    for profile, entries in _toml(path).items():
        if profile not in PROFILES:
            raise ClaimsError(f"bands/{path.name}: profile is {profile!r}, expected one of {_names(PROFILES)}")
        for mid, recorded in entries.items():
            where = f"bands/{path.name}, {profile}, {mid}"
            if mid not in measures:
                raise ClaimsError(f"{where}: no such measure; expected one of {_names(measures)}")
            recorded.setdefault("controls", {})
            if sorted(recorded["controls"]) != sorted(measures[mid]["controls"]):
                raise ClaimsError(f"{where}: controls are {sorted(recorded['controls'])}, the measure declares "
                                  f"{sorted(measures[mid]['controls'])}")
            series = [recorded["values"], *recorded["controls"].values()]
            if len(set(recorded["seeds"])) < verdicts.MIN_SEEDS or {len(s) for s in series} != {len(recorded["seeds"])}:
                raise ClaimsError(f"{where}: got {len(set(recorded['seeds']))} seeds with {[len(s) for s in series]} "
                                  f"values, expected {verdicts.MIN_SEEDS} seeds or more and one value for each")
            try:
                measures[mid]["bands"][profile] = verdicts.band(measures[mid], recorded)
            except verdicts.BandError as err:
                raise ClaimsError(f"{where}: {err}") from None
            measures[mid]["recorded"][profile] = recorded


def claim_of(measure_id):
    """The claim or addition that a measure belongs to: "C3.next-day" -> "C3"."""
    return measure_id.split(".", 1)[0]


def open(name, profile, seed, folder=None):
    """Open the ledger of a notebook for one run.

    name: the notebook's, with or without its number. profile: smoke | standard | full. seed: int. folder: holds
    claims/ and bands/ (default: data/ of the checkout). The environment variable CSI_CLAIMS_MEASURE=1, which
    `csi-papers bands` sets, measures without judging. Raises ClaimsError naming the argument.
    """
    known = {path.stem for path in (Path(folder or ROOT / "data") / "claims").glob("*.toml")}
    found = [stem for stem in known if name in (stem, stem[3:])]
    if len(found) != 1:
        raise ClaimsError(f"name: no ledger {name!r}; expected one of {_names(sorted(known))}")
    if profile not in PROFILES:
        raise ClaimsError(f"profile: got {profile!r}, expected one of {_names(PROFILES)}")
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
        if not isinstance(protocol, str) or not protocol.strip():
            raise ClaimsError(f"protocol: got {protocol!r} for {id}, expected words on split and score")
        expected = sorted(measure["controls"])
        if sorted(controls) != expected:
            raise ClaimsError(f"controls: got {sorted(controls)} for {id}, expected {expected}")
        controls = {key: _number(key, control) for key, control in controls.items()}
        band = measure["bands"].get(self.profile)
        interval = None if interval is None else abs(_number("interval", interval))
        over_seeds = verdicts.pooled(measure, self.profile)
        self._keep(id, value=value, interval=interval, protocol=protocol, controls=controls,
                   trivial_holds=verdicts.met_by_trivial(controls.get("trivial"), measure),
                   band=[band["low"], band["high"]] if band else None, power=bool(band and band["power"]),
                   in_band=band["low"] <= value <= band["high"] if band else None,
                   pooled=over_seeds[2] if over_seeds else None, verdict=verdicts.judge(value, interval, measure))

    def not_run(self, id, reason):
        """State that a measure's real data are absent in this run. ClaimsError unless it declares `needs`."""
        measure = self._declared(id)
        if "needs" not in measure:
            raise ClaimsError(f"id: {id} may not be left out, expected one that declares needs = \"...\"")
        if not isinstance(reason, str) or not reason.strip():
            raise ClaimsError(f"reason: got {reason!r} for {id}, expected words")
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
            elif "not_tested" in measure:
                self._keep(mid, verdict="not tested at this budget", reason=measure["not_tested"])
            else:
                reason = f"measured in profile {' and '.join(measure['profiles'])} only"
                self._keep(mid, verdict="not run", reason=reason)
        for cid, claim in self.claims.items():
            if "not_testable" in claim:
                self.records[cid] = self._row(cid, cid, {}, verdict="not testable",
                                              reason=claim["not_testable"])
        order = [*self.measures, *self.claims]
        records = sorted(self.records.values(), key=lambda r: (_natural(r["claim"]), order.index(r["id"])))
        # A row of another profile is shown only where its claim has no other; the records keep them all.
        here = {r["claim"] for r in records if self._meant(r)}
        self._show(records, [r for r in records if self._meant(r) or r["claim"] not in here], problems)
        if problems:
            raise OutOfBand(f"{self.name}, profile {self.profile}, seed {self.seed}: " + "; ".join(problems))

    def _meant(self, row):
        return self.profile in self.measures.get(row["id"], {"profiles": PROFILES})["profiles"]

    def _declared(self, id):
        if id not in self.measures:
            raise ClaimsError(f"id: got {id!r}, expected one of {_names(self.measures)}")
        if self.closed and not _by_hand():
            raise ClaimsError(f"id: {id} came after close(); expected every record before it")
        if id in self.records and not _by_hand():
            raise ClaimsError(f"id: {id} is already recorded; expected one record a run")
        if self.profile not in self.measures[id]["profiles"]:
            raise ClaimsError(f"id: {id} came in profile {self.profile}, expected only in "
                              + ", ".join(self.measures[id]["profiles"]))
        return self.measures[id]

    def _row(self, id, cid, measure, **found):
        claim = self.claims[cid]
        # A number in another unit (a ratio, say) must not stand beside the paper's metres.
        same_unit = not measure or measure["unit"] == claim.get("unit")
        unit = measure["unit"] if measure else claim.get("unit")
        return {"ledger": self.name, "id": id, "claim": cid, "kind": claim["kind"], "says": claim["says"],
                "what": measure.get("what"), "value": None, "interval": None, "trivial_holds": False, "unit": unit,
                "better": measure.get("better"), "holds": measure.get("holds"),
                "paper_value": claim.get("value") if same_unit else None, "where": claim.get("where"),
                "evidence": claim["evidence"], "dataset": measure.get("dataset"), "protocol": None,
                "profile": self.profile, "seed": self.seed, "band": None, "power": False, "in_band": None,
                "controls": {}, "pooled": None, "reason": None} | found

    def _keep(self, id, **found):
        self.records[id] = row = self._row(id, claim_of(id), self.measures[id], **found)
        if not self.closed:
            band = f"; band {verdicts.check_text(row)}" if row["band"] else ""
            ours = row["reason"] or f"{verdicts.ours_text(row)} (holds if {row['holds']}{band})"
            print(f"{id}, {row['what']}: {ours}: {verdicts.verdict_text(row)}")

    def _out_of_band(self):
        problems, missing = [], []
        for mid, row in self.records.items():
            if row["value"] is None:
                continue
            measure, unit = self.measures[mid], row["unit"]
            if row["band"] is None:
                missing.append(mid)
                continue
            if not row["in_band"]:
                problems.append(f"{mid}: {verdicts.number(row['value'], unit)} left its band {verdicts.band_text(row)}")
            if "may_fail_controls" in measure and not row["power"]:
                continue
            for key, control in row["controls"].items():
                if not verdicts.keeps_out(measure["bands"][self.profile], measure["better"], control):
                    problems.append(f"{mid}: the control {key}, {verdicts.number(control, unit)}, is not kept out by "
                                    f"the band {verdicts.band_text(row)}")
        if missing:
            problems.append(f"no band yet for profile {self.profile}: {', '.join(missing)} "
                            "(`csi-papers bands` measures them)")
        return problems

    def _show(self, records, shown, problems):
        bundle = {MIME: {"ledger": self.name, "profile": self.profile, "seed": self.seed, "records": records,
                         "problems": problems},
                  "text/html": verdicts.html_tables(self.title, shown), "text/plain": verdicts.text_table(shown)}
        if _ipython() is None:
            print(bundle["text/plain"])
        else:
            from IPython.display import display
            display(bundle, raw=True)


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


def _natural(text):
    letters = text.rstrip("0123456789")
    return letters, int(text[len(letters):] or 0)


def _ipython():
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


def _by_hand():
    """A person re-running a cell in JupyterLab may record again; the strict runner may not."""
    return _ipython() is not None and "CSI_GUARD_TOKEN" not in os.environ
