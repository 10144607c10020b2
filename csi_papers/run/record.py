"""Keep one run, of the profile full as a rule, in data/record/NN_name.toml: values, verdicts, and what it ran on.

    csi-papers record build/runs/full

A run of hours is not repeated over ten seeds; what it gave is quoted with its date, and the scoreboard shows it as one
run.
"""

import json
import tomllib
from pathlib import Path

import tomlkit

from csi_utils import ROOT

from .provenance import write

HEADER = "# Kept by `csi-papers record`, never by hand: what one run measured.\n"
KEPT = ("value", "interval", "verdict", "controls")


def keep(results, folder=None):
    """Write a record of every result in a folder of results; returns the paths.

    folder: where records go (default data/record of the checkout). Raises FileNotFoundError without results, ValueError
    naming the notebooks whose run failed; nothing is written then.
    """
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(results).glob("[0-9]*.json"))]
    if not found:
        raise FileNotFoundError(f"results: {results} holds no results of csi-papers run")
    if failed := [f"{result['notebook']}: {result['status']}" for result in found if result["status"] != "ok"]:
        raise ValueError(f"results: expected runs without a failure, got {', '.join(failed)}")
    folder = Path(folder or ROOT / "data" / "record")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for result in found:
        there = result["environment"]
        values = {claim["id"]: {key: claim[key] for key in KEPT if claim[key] not in (None, {})}
                  for claim in result["claims"] if claim["value"] is not None}
        record = {key: result[key] for key in ("profile", "seed", "source")} | {
            "date": there["date"][:10], "seconds": round(result["seconds"]), "cpus": there["cpus"],
            "platform": there["platform"], "python": there["python"], "torch": there["packages"].get("torch", ""),
            "commit": there["commit"] or "", "values": values}
        written.append(folder / f"{result['notebook']}.toml")
        write(written[-1], f"{HEADER}\n{tomlkit.dumps(record)}")
    return written


def load(stem, folder=None):
    """The record of a notebook as a dict, None where none is kept."""
    path = Path(folder or ROOT / "data" / "record") / f"{stem}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
