"""The command `csi-papers data`: list, fetch and verify data sets."""

import sys

from csi_utils import datasets, verdicts
from csi_utils.files import sources
from csi_utils.files.sources import DataAltered, registry


def command(action, names):
    """action: "list", "fetch" or "verify"; names: of data sets, all real ones without any. Returns the exit status."""
    if action == "list":
        return _list()
    sources.mirror()  # a mistyped one is told once, not for each set
    bad = 0
    for name in names or list(registry()):
        try:
            if action == "fetch":
                print(f"{name}: {datasets.fetch(name)}")
            else:
                bad += _verify(name)
        except (OSError, ValueError) as problem:
            print(problem, file=sys.stderr)
            bad += 1
    return 1 if bad else 0


def _verify(name):
    """Check every copy of `name` on this machine, and say so; returns how many are bad."""
    datasets.available(name)  # an unknown name is told here
    made_from, bad = registry()[name].get("made_from"), 0
    here = [(place, path, sources.read, (name, path, place)) for path, place in sources.places(name)]
    if made_from and all(sources.places(part) for part in made_from):
        here = [("made on load from", ", ".join(made_from), datasets.load, (name,))]
    for place, where, check, given in here:
        try:
            check(*given)
            print(f"good {name}: {place}: {where}")
        except DataAltered as problem:
            print(f"BAD  {problem}")
            bad += 1
    if not here:
        print(f"{name}: not on this machine")
    return bad


def _list():
    rows = [("name", "source", "MB", "licence", "found")]
    rows += [(name, source, "-", licence, "made on load") for name, (_, source, licence) in datasets.EMBEDDED.items()]
    for name, entry in registry().items():
        kind = "made" if "made_from" in entry else entry.get("kind", "real")
        size = f"{entry['bytes'] / 1e6:.1f}" if "bytes" in entry else "-"
        rows.append((name, kind, size, entry["licence"], sources.available(name)[1]))
    print(verdicts.in_columns(rows))
    return 0
