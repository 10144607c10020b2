"""Data sets by name: simulated, packaged, real, or a person's own file, each with named axes, groups and a card.

    ds = datasets.load("dfl-4env")
    ds["amp"], ds.axes["amp"], ds.groups, ds.card["licence"]

Where real data come from, and how they are checked: `csi_utils.files.sources`. Datasheets: data/README.md.
"""

import difflib
import html
import importlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from csi_utils.files import own_data, sources
from csi_utils.files.sources import DataUnavailable, registry

# Sets that are always there: name -> the module of csi_utils whose build(name, **options) makes it, source, licence.
_SIMULATED = ("simulated", "MIT, as this project")
EMBEDDED = {"sim-lab": ("sim.fingerprints", *_SIMULATED), "sim-meeting": ("sim.fingerprints", *_SIMULATED),
            "sim-metal": ("sim.metal", *_SIMULATED), "sim-activities": ("sim.activities", *_SIMULATED),
            "digits-embedded": ("files.packaged", "embedded", "BSD-3-Clause packages")}
SOURCES = ("embedded", "real", "auto")


@dataclass(frozen=True)
class Dataset:
    """Arrays with named axes. An honest split keeps rows with equal values in an array of `groups` together.

    Raises ValueError when axes, arrays and groups do not fit each other.
    """

    name: str
    source: str  # "simulated" | "embedded" (real, from a package) | "real" | "made" (from real sets) | "own"
    origin: str  # where it came from, for printing
    arrays: dict  # array name -> ndarray
    axes: dict  # array name -> tuple of axis names
    groups: tuple  # names of arrays
    honest_split: str
    card: dict

    def __post_init__(self):
        for key, array in self.arrays.items():
            axes = self.axes.get(key)
            if axes is None or isinstance(axes, str) or np.ndim(array) != len(axes):
                raise ValueError(f"{self.name}: array {key} has shape {np.shape(array)}, but its axes are {axes}")
        if unknown := [key for key in (*self.axes, *self.groups) if key not in self.arrays]:
            raise ValueError(f"{self.name}: axes or groups name {unknown}, but the arrays are {list(self.arrays)}")

    def __getitem__(self, key):
        if key not in self.arrays:
            raise KeyError(f"{self.name} has no array {key!r}; it has {', '.join(self.arrays)}")
        return self.arrays[key]

    def require(self, *names):
        """Raise ValueError unless every array is there; "amp or csi" asks for one of them."""
        missing = [name for name in names if not any(key in self.arrays for key in name.split(" or "))]
        if missing:
            raise ValueError(f"{self.name}: the array {' and the array '.join(missing)} is missing; "
                             f"it has {', '.join(self.arrays)}")

    def __repr__(self):
        head, table, facts = self._shown()
        return "\n".join([head, *(f"  {key} ({axes}) {shape} {dtype}" for key, axes, shape, dtype in table),
                          *(f"  {name}: {text}" for name, text in facts)])

    def _repr_html_(self):
        head, table, facts = self._shown()
        arrays = pd.DataFrame(table, columns=["array", "axes", "shape", "dtype"]).to_html(index=False)
        items = "".join(f"<li><b>{name}</b>: {html.escape(str(text))}</li>" for name, text in facts)
        return f"<p>{html.escape(head)}</p>{arrays}<ul>{items}</ul>"

    def _shown(self):
        table = [(key, ", ".join(self.axes[key]), np.shape(array), array.dtype) for key, array in self.arrays.items()]
        facts = [("keep together", ", ".join(self.groups)), ("honest split", self.honest_split),
                 ("from", self.origin), ("licence", self.card.get("licence")), ("cite", self.card.get("citation")),
                 *(("caveat", text) for text in self.card.get("caveats", [])[:3])]
        return (f"{self.name} ({self.source}): {self.card.get('title', '')}", table,
                [(name, text) for name, text in facts if text])


def load(name: str, **options) -> Dataset:
    """The data set `name`: one of EMBEDDED ("sim-lab", ...), a real set of the registry, or your own .npz file.

    `options` go to the `build` of an embedded set's module; anything else refuses them (TypeError). Your own file is a
    name that ends in .npz or holds a path separator; what it must hold is in `files.own_data.read`. Raises ValueError
    for an unknown name, DataUnavailable when real data cannot be had, DataAltered when they are not as registered.
    """
    name = os.fspath(name)
    if name in EMBEDDED:
        module, source, _ = EMBEDDED[name]
        build = importlib.import_module(f"csi_utils.{module}").build
        return Dataset(**{"name": name, "source": source, "origin": source} | build(name, **options))
    own = name.endswith(".npz") or "/" in name or os.sep in name
    if not own:
        _known(name, EMBEDDED)
    if options:
        raise TypeError(f"options: {name!r} takes none, got {sorted(options)}; only {', '.join(EMBEDDED)} do")
    if not own:
        return _load_real(name)
    path = Path(name).expanduser()
    return Dataset(name=path.name, source="own", origin=str(path), **own_data.read(path))


def _known(name, also=()):
    known = [*also, *registry()]
    if name not in registry():
        raise ValueError(f"name: unknown data set {name!r}; expected {', '.join(known)}, or the path of an .npz file"
                         + did_you_mean(name, known))


def did_you_mean(name, known):
    """The end of a message on a name that is not among the known ones; empty where none is like it."""
    return "".join(f". Did you mean {close!r}?" for close in difflib.get_close_matches(str(name), known, 1))


def _load_real(name) -> Dataset:
    entry = registry()[name]
    if sources.is_capture(name):
        raise ValueError(f"name: {name!r} is a raw capture: datasets.capture({name!r}, source) gives its path")
    kept = ("title", "task", "hardware", "licence", "redistribution", "citation", "caveats")
    card = {key: entry[key] for key in kept}
    if "made_from" in entry:
        parts = [_load_real(part) for part in entry["made_from"]]
        arrays = sources.make(name, [part.arrays for part in parts])
        source, origin = "made", "; ".join(f"{part.name}, {part.origin}" for part in parts)
        card["upstream"] = {part.name: part.card["upstream"] for part in parts}
    else:
        arrays, origin = _verified(name)
        source, upstream = "real", entry["upstream"]
        card["upstream"] = {"repository": upstream["repository"], "commit": upstream["commit"], "url": upstream["base"],
                            "path": ", ".join(file["path"] for file in upstream["files"])}
    return Dataset(name=name, source=source, origin=origin, arrays=arrays,
                   axes={key: tuple(entry["axes"][key]) for key in arrays}, groups=tuple(entry["groups"]),
                   honest_split=entry["honest_split"], card=card)


def _verified(name):
    """What `sources.read` gives of the first file that is to be had, and where it came from."""
    path, place = next(iter(sources.places(name)), None) or (sources.fetch(name), "cache")
    return sources.read(name, path, place), f"{place}: {path}"


def order_in_group(*keys):
    """Rank of each row within its group, by file order: int64 (row,), 0 for the first row of each group.

    `keys` are 1-D arrays of one length; rows with equal values in all of them form a group. Where rows are in time
    order, `order_in_group(ds["domain"], ds["location"]) < 140` splits by time.
    """
    shapes = [np.shape(key) for key in keys]
    if len(set(shapes)) != 1 or len(shapes[0]) != 1:
        raise ValueError(f"keys: expected 1-D arrays of one length, got shapes {shapes}")
    table = pd.DataFrame(dict(enumerate(keys)))
    return table.groupby(list(table), dropna=False).cumcount().to_numpy(np.int64)


def available(name: str):
    """(True, where) or (False, why not) for a real set: `sources.available`, for names that are known."""
    _known(name)
    return sources.available(name)


def fetch(name: str) -> Path:
    """Put a verified copy of a real set into the cache; returns its path. Raises DataUnavailable, DataAltered."""
    _known(name)
    return sources.fetch(name)


def resolve(name: str, source: str):
    """The real set `name` as a notebook's `source` parameter asks for it, or None when embedded data are used.

    "embedded" gives None; "real" loads, or raises DataUnavailable; "auto" loads, or says once a process that it does
    not and gives None. Altered data raise DataAltered whatever the source. Another source: ValueError.
    """
    return _as_asked(name, source, load)


def capture(name: str, source: str):
    """The path of the registered raw file `name`, checked, or None, by the rules of `resolve`; what reads such a file
    is in csi_utils.files.captures. Raises ValueError for a name that is no capture."""
    _known(name)
    if not sources.is_capture(name):
        raise ValueError(f"name: {name!r} is no raw capture but a data set: datasets.load({name!r}) gives its arrays")
    return _as_asked(name, source, lambda name: _verified(name)[0])


_said = []  # names of sets


def _as_asked(name, source, load_it):
    if source not in SOURCES:
        raise ValueError(f"source: got {source!r}, expected one of {', '.join(SOURCES)}")
    _known(name)
    if source == "embedded":
        return None
    try:
        here, why = sources.available(name)
        if not here:
            raise DataUnavailable(f"{name}: {why}. To get real data, {sources.how(name)}.")
        return load_it(name)
    except DataUnavailable as problem:
        if source == "real":
            raise
        if name not in _said:
            _said.append(name)
            print(f"*** REAL DATA ARE NOT USED, embedded data are. {problem} ***", flush=True)
        return None
