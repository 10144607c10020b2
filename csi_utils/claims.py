"""The claims ledger: a paper's number, ours, the band ours must fall in, and the verdict.

    ledger = claims.open("svm_fingerprinting", profile=profile, seed=seed)
    ledger.record("C3.next-day", error, dataset="sim-lab", protocol="grid, then day 2", trivial=3.1)
    ledger.close()      # shows the table; raises OutOfBand when a value left its band

What is claimed, and the bands, are data: data/claims.toml. `python -m csi_utils bands` writes the bands.
"""

import math
import os
import sys
import tomllib
from pathlib import Path

from .scoreboard import EVIDENCE, band_text, html_table, number, text_table, verdict_text

MIME = "application/vnd.csi-claims+json"
PROFILES = ("smoke", "standard", "full")
CLAIMS_TOML = Path(__file__).resolve().parent.parent / "data" / "claims.toml"
OPENED = []  # every ledger of this process, for the guard of the strict runner


class ClaimsError(ValueError):
    """claims.toml or a call of the ledger is wrong; the message says what came and what was expected."""


class OutOfBand(AssertionError):
    """Raised by `Ledger.close`: a value left its band, a control passed, or a measure is missing."""


def load(path=None):
    """Read and check claims.toml. Returns a dict: ledger name -> {notebook, title, claims, measures}.

    path: another file than data/claims.toml (for tests). Raises FileNotFoundError, and ClaimsError that
    names the entry, what it holds and what was expected.
    """
    path = Path(path) if path is not None else CLAIMS_TOML
    if not path.is_file():
        raise FileNotFoundError(f"path: no file {path.name} in {path.parent.name}/; expected a claims file")
    try:
        ledgers = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as err:
        raise ClaimsError(f"{path.name}: not valid TOML ({err})") from err
    for name, ledger in ledgers.items():
        _check_ledger(name, ledger)
    return ledgers


def _names(names):
    return ", ".join(names) or "(none)"


def _require(entry, where, key, kind, choices=None):
    value = entry.get(key)
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise ClaimsError(f"{where}: {key} is {value!r}, expected {kind}")
    if choices is not None and value not in choices:
        raise ClaimsError(f"{where}: {key} is {value!r}, expected one of {', '.join(choices)}")


def _check_ledger(name, ledger):
    for key in ("notebook", "title"):
        _require(ledger, name, key, str)
    claims, measures = ledger.setdefault("claims", {}), ledger.setdefault("measures", {})
    for cid, claim in claims.items():
        where = f"{name}.claims.{cid}"
        _require(claim, where, "says", str)
        _require(claim, where, "evidence", str, tuple(EVIDENCE))
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
    for mid, measure in measures.items():
        _check_measure(f"{name}.measures.{mid}", mid, measure, claims)


def _check_measure(where, mid, measure, claims):
    if claim_of(mid) not in claims:
        raise ClaimsError(f"{where}: no claim {claim_of(mid)!r}; expected one of {_names(claims)}")
    for key in ("dataset", "what", "unit", "holds"):
        _require(measure, where, key, str)
    _require(measure, where, "better", str, ("lower", "higher"))
    measure.setdefault("same_data", False)
    _require(measure, where, "same_data", bool)
    measure.setdefault("controls", [])
    _require(measure, where, "controls", list)
    for key in ("needs", "may_fail_controls"):
        if key in measure:
            _require(measure, where, key, str)
    measure.setdefault("profiles", list(PROFILES))
    for profile in [*measure["profiles"], *measure.setdefault("bands", {})]:
        if profile not in PROFILES:
            raise ClaimsError(f"{where}: profile is {profile!r}, expected one of {_names(PROFILES)}")
    try:
        satisfies(0.0, measure["holds"])
    except ClaimsError as err:
        raise ClaimsError(f"{where}: {err}") from None


def claim_of(measure_id):
    """The claim that a measure belongs to: "C3.next-day" -> "C3"."""
    return measure_id.split(".", 1)[0]


def satisfies(value, criterion):
    """Does value meet a criterion like "<= 1.39", ">= 97" or "0.9..1.1"? ClaimsError if it cannot be read."""
    try:
        if ".." in criterion:
            low, high = map(float, criterion.split("..", 1))
            return low <= value <= high
        bound = float(criterion[2:])
        if criterion[:2] in ("<=", ">="):
            return value <= bound if criterion[:2] == "<=" else value >= bound
    except ValueError:
        pass
    raise ClaimsError(f"holds is {criterion!r}, expected \"<= NUMBER\", \">= NUMBER\" or \"LOW..HIGH\"")


def judge(value, measure, interval=None):
    """The verdict on a value (with the half width of its interval) by the criterion of its measure."""
    ends = {satisfies(v, measure["holds"]) for v in (value, value - (interval or 0), value + (interval or 0))}
    if len(ends) > 1:
        return "undecided"
    if not ends.pop():
        return "does not hold here"
    return "reproduced" if measure["same_data"] else "holds here"


def met_by_trivial(value, measure):
    """Does the trivial answer meet the criterion of a measure too? False where the criterion asks for a bad value."""
    asks = {"<=": "lower", ">=": "higher"}.get(measure["holds"][:2], measure["better"])  # a range asks for neither
    return value is not None and asks == measure["better"] and satisfies(value, measure["holds"])


def excludes(band, better, control):
    """Does the band keep this control value out, on its worse side?"""
    return control > band["high"] if better == "lower" else control < band["low"]


def open(name, profile, seed, path=None, allow_missing_bands=None):
    """Open the ledger `name` of data/claims.toml for one run.

    profile: smoke | standard | full. seed: int. path: another claims file. allow_missing_bands: measure
    without judging, as `python -m csi_utils bands` does (default: environment variable CSI_CLAIMS_MEASURE).
    Raises ClaimsError naming the argument; FileNotFoundError without a claims file.
    """
    ledgers = load(path)
    if name not in ledgers:
        raise ClaimsError(f"name: no ledger {name!r}; expected one of {_names(ledgers)}")
    if profile not in PROFILES:
        raise ClaimsError(f"profile: got {profile!r}, expected one of {_names(PROFILES)}")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise ClaimsError(f"seed: got {seed!r}, expected an int")
    if allow_missing_bands is None:
        allow_missing_bands = os.environ.get("CSI_CLAIMS_MEASURE") == "1"
    ledger = Ledger(name, ledgers[name], profile, seed, allow_missing_bands)
    OPENED.append(ledger)
    return ledger


class Ledger:
    """One run's records against data/claims.toml; made by `claims.open`."""

    def __init__(self, name, declared, profile, seed, measuring):
        self.name, self.profile, self.seed, self.measuring = name, profile, seed, measuring
        self.title, self.claims, self.measures = declared["title"], declared["claims"], declared["measures"]
        self.records, self.closed = {}, False

    def record(self, id, value, *, dataset, protocol, interval=None, **controls):
        """Record our value of one measure.

        value: finite scalar in the measure's unit. dataset: the name declared for the measure. protocol: how
        it was split and scored, in words. interval: half width of the 95 % interval, where there are repeats; a
        verdict that changes within it is "undecided". controls: the value that each declared control reached
        (trivial=, shuffled=). Raises ClaimsError naming the argument, what came and what was expected.
        """
        measure = self._declared(id)
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
        self._keep(id, value=value, interval=interval, protocol=protocol, controls=controls,
                   trivial_holds=met_by_trivial(controls.get("trivial"), measure),
                   band=[band["low"], band["high"]] if band else None,
                   in_band=band["low"] <= value <= band["high"] if band else None,
                   verdict=judge(value, measure, interval))

    def not_run(self, id, reason):
        """State that a measure's real data are absent in this run. ClaimsError unless it declares `needs`."""
        measure = self._declared(id)
        if "needs" not in measure:
            raise ClaimsError(f"id: {id} may not be left out, expected one that declares needs = \"...\"")
        if not isinstance(reason, str) or not reason.strip():
            raise ClaimsError(f"reason: got {reason!r} for {id}, expected words")
        self._keep(id, reason=reason, verdict="not run")

    def close(self):
        """Show the table, emit the records (MIME type `MIME`), then raise OutOfBand listing every problem."""
        problems = [] if self.measuring else self._out_of_band()
        self.closed = True
        for mid, measure in self.measures.items():
            if mid in self.records:
                continue
            if self.profile in measure["profiles"]:
                problems.append(f"{mid}: neither recorded nor stated as not run")
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
        return {"ledger": self.name, "id": id, "claim": cid, "says": claim["says"],
                "what": measure.get("what"), "value": None, "interval": None, "trivial_holds": False, "unit": unit,
                "better": measure.get("better"), "holds": measure.get("holds"),
                "paper_value": claim.get("value") if same_unit else None, "where": claim.get("where"),
                "evidence": claim["evidence"], "dataset": measure.get("dataset"), "protocol": None,
                "profile": self.profile, "seed": self.seed, "band": None, "in_band": None, "controls": {},
                "reason": None} | found

    def _keep(self, id, **found):
        self.records[id] = row = self._row(id, claim_of(id), self.measures[id], **found)
        if not self.closed:
            where = f"band {band_text(row)}" if row["band"] else band_text(row)
            ours = row["reason"] or f"{number(row['value'], row['unit'])}, {where}"
            print(f"{id}: {ours}: {verdict_text(row)}")

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
                problems.append(f"{mid}: {number(row['value'], unit)} left its band {band_text(row)}")
            band = measure["bands"][self.profile]
            if "may_fail_controls" in measure and not band.get("beats_controls", True):
                continue
            for key, control in row["controls"].items():
                if not excludes(band, measure["better"], control):
                    problems.append(f"{mid}: the control {key}, {number(control, unit)}, is not kept out by "
                                    f"the band {band_text(row)}")
        if missing:
            problems.append(f"no band yet for profile {self.profile}: {', '.join(missing)} "
                            "(`python -m csi_utils bands` measures them)")
        return problems

    def _show(self, records, shown, problems):
        bundle = {MIME: {"ledger": self.name, "profile": self.profile, "seed": self.seed, "records": records,
                         "problems": problems},
                  "text/html": html_table(self.title, shown), "text/plain": text_table(shown)}
        if _ipython() is None:
            print(bundle["text/plain"])
        else:
            from IPython.display import display
            display(bundle, raw=True)


def _number(argument, value):
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
