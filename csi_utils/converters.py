"""Upstream files -> plain arrays: one small function a source, and the check of a person's own file.

Each function reads what the public repository holds, returns a dict of arrays, and raises ValueError that
names the file when it is not what it should be. `datasets` compares the result with the registered digest.
"""

import difflib
import io
import pickle
import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

# All that a pickled dict of arrays needs. Anything else in a pickle is code of a stranger.
_HARMLESS = {(f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")}
_HARMLESS |= {("numpy", "ndarray"), ("numpy", "dtype")}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in _HARMLESS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}; only arrays, dicts and "
                                         "plain values are read")
        return np.ndarray if name == "ndarray" else np.dtype if name == "dtype" else _reconstruct


def _reconstruct(*_):
    """An empty plain array, to be filled by the state that follows; never a subclass, never a huge shape."""
    return np.ndarray((0,), np.int8)


def read_pickled_dict(path) -> dict:
    """The dict inside a .npy file written by `np.save(path, a_dict)`, read without running any code of it.

    Raises ValueError when the file is no such file, is cut short, or asks for anything but arrays, dicts and
    plain values.
    """
    try:
        with open(path, "rb") as file:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("not a version 1.0 .npy file")
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            if shape != () or not dtype.hasobject:
                raise ValueError(f"expected a 0-d object array that holds a dict, found {dtype} {shape}")
            content = _ArraysOnly(file).load().item()
    except (ValueError, EOFError, LookupError, AttributeError, TypeError, pickle.UnpicklingError) as problem:
        raise ValueError(f"{path}: refused: {problem}") from problem
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a dict, found {type(content).__name__}")
    return content


def dfl_4env(paths) -> dict:
    """dfl-4env from its five upstream .npy files, in the registered order; the file stem names the domain.

    Returns amp (packet, 120) float16, location and domain (packet,) uint8, domain_names (domain,).
    Rows keep the upstream order.
    """
    amp, location, domain = [], [], []
    for index, path in enumerate(paths):
        content = read_pickled_dict(path)
        data, label = (np.asarray(content.get(key)) for key in ("data", "label"))
        if data.ndim != 2 or data.dtype.kind != "f" or label.shape != data.shape[:1]:
            raise ValueError(f"{path}: expected data (n, features) and label (n,), "
                             f"found {data.shape} and {label.shape}")
        amp.append(data.astype(np.float16))
        location.append(label.astype(np.uint8))
        domain.append(np.full(len(data), index, np.uint8))
    return {"amp": np.concatenate(amp), "location": np.concatenate(location),
            "domain": np.concatenate(domain), "domain_names": np.array([Path(path).stem for path in paths])}


def read_nexmon(content: bytes, name="capture", subcarriers=64):
    """Nexmon CSI of a bcm43455c0 from the bytes of a pcap file.

    Returns iq (packet, subcarrier, 2) int16 in receiver counts and t (packet,) in seconds.

    A frame is 42 bytes Ethernet/IP/UDP, 18 bytes nexmon header that starts with 0x1111, then int16 pairs
    (real, imaginary) in FFT order. t is float64, counted from the first frame. Other frames are passed over,
    and so is an unfinished last record, as tcpdump does. Raises ValueError for anything but a pcap.
    """
    if content[:4] != b"\xd4\xc3\xb2\xa1" or len(content) < 24:
        raise ValueError(f"{name}: not a little-endian pcap file with microseconds")
    iq, seconds, start, need = [], [], 24, 60 + 4 * subcarriers
    while start + 16 <= len(content):
        sec, microsec, length, _ = np.frombuffer(content, "<u4", 4, start).tolist()
        start += 16
        if start + length > len(content):
            break
        if length >= need and content[start + 42:start + 44] == b"\x11\x11":
            iq.append(np.frombuffer(content, "<i2", 2 * subcarriers, start + 60))
            seconds.append(sec + microsec * 1e-6)
        start += length
    if not iq:
        raise ValueError(f"{name}: no nexmon frame with {subcarriers} subcarriers")
    t = np.array(seconds)
    return np.array(iq).astype(np.int16).reshape(-1, subcarriers, 2), t - t[0]


def read_workbook(content: bytes) -> dict:
    """The sheets of an .xlsx file: {sheet name: [{column letter: text}, ...]}, without empty rows."""
    main = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    rel = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        def tree(part):
            return ElementTree.fromstring(book.read(f"xl/{part}"))

        words = ["".join(t.text or "" for t in item.iter(main + "t")) for item in tree("sharedStrings.xml")]
        target = {item.get("Id"): item.get("Target") for item in tree("_rels/workbook.xml.rels")}
        sheets = {}
        for sheet in tree("workbook.xml").iter(main + "sheet"):
            sheets[sheet.get("name")] = rows = []
            for row in tree(target[sheet.get(rel + "id")]).iter(main + "row"):
                cells = {}
                for cell in row:
                    value = cell.find(main + "v")
                    if value is not None:
                        column = cell.get("r").rstrip("0123456789")
                        cells[column] = words[int(value.text)] if cell.get("t") == "s" else value.text
                if cells:
                    rows.append(cells)
    return sheets


def csu_points(coords: bytes, info: bytes) -> dict:
    """The point_ arrays of loc-csu from its two workbooks: references, then test captures, sorted by name.

    Access points are numbered by their sorted MAC addresses, which are not kept: they identify hardware.
    """
    where, radio = read_workbook(coords), read_workbook(info)
    rows = []
    for is_test, kind in enumerate(("ref", "test")):
        for path in range(1, 6):
            radio_of = {row["A"]: row for row in radio[f"{kind}_path{path}"][1:]}
            for row in where[f"{kind}_coord_path{path}"][1:]:
                other = radio_of[row["A"]]
                rows.append((is_test, row["A"], path, row["B"], row["C"], other["C"], other["D"], other["B"]))
    rows.sort(key=lambda row: row[:2])
    is_test, name, path, x, y, rssi, channel, mac = zip(*rows, strict=True)
    return {"point_is_test": np.array(is_test, np.uint8), "point_name": np.array(name),
            "point_path": np.array(path, np.uint8),
            "point_xy_m": np.array([x, y], float).T.astype(np.float32, "C"),
            "point_rssi_dbm": np.array(rssi, np.float32), "point_channel": np.array(channel, np.int16),
            "point_ap": np.searchsorted(sorted(set(mac)), mac).astype(np.uint8)}


def loc_csu(paths) -> dict:
    """loc-csu from the zip archive of its repository (the only entry of `paths`).

    Keeps 100 evenly spaced packets of each reference capture (they hold 3000 to 3500) and all packets of each
    test capture that has coordinates. Arrays and axes as in the registry.
    """
    with zipfile.ZipFile(paths[0]) as archive:
        member = {name.split("/", 1)[-1]: name for name in archive.namelist()}
        points = csu_points(*(archive.read(member[f"locations/location_{kind}.xlsx"])
                              for kind in ("coords", "info")))
        capture = {match.group(1, 2): member[name] for name in member
                   if (match := re.fullmatch(r"data/(?:ref|test)/(ref|test)_(\w+)_\d+\.pcap", name))}
        iq, time_s, point = [], [], []
        for index, name in enumerate(points["point_name"]):
            is_test = bool(points["point_is_test"][index])
            file = capture["test" if is_test else "ref", str(name)]
            frames, t = read_nexmon(archive.read(file), file)
            keep = slice(None) if is_test else np.unique(np.linspace(0, len(t) - 1, 100).astype(int))
            iq.append(frames[keep])
            time_s.append(t[keep].astype(np.float32))
            point.append(np.full(len(time_s[-1]), index, np.uint16))
    packets = {"iq": iq, "time_s": time_s, "point": point}
    return points | {key: np.concatenate(parts) for key, parts in packets.items()}


# A person's own file: array -> (axes after "packet" by ndim, dtype kinds).
_SIGNAL = {4: ("packet", "subcarrier", "rx", "tx"), 5: ("packet", "link", "subcarrier", "rx", "tx")}
OWN = {"csi": (_SIGNAL, "c"), "amp": ({2: ("packet", "feature")} | _SIGNAL, "fiu"),
       "xy": ({2: ("packet", "xy")}, "fiu"), "location": ({1: ("packet",)}, "iu"),
       "session": ({1: ("packet",)}, "iuU"), "point": ({1: ("packet",)}, "iuU"),
       "link": ({1: ("packet",)}, "iuU"), "t": ({1: ("packet",)}, "fiu"),
       "subcarrier_index": ({1: ("subcarrier",)}, "iu"),
       "fs": ({0: ()}, "fiu"), "fc": ({0: ()}, "fiu"), "bandwidth": ({0: ()}, "fiu")}
_KINDS = {"c": "complex", "f": "real", "i": "integer", "u": "unsigned", "U": "text"}


def own_npz(path):
    """Read and check a person's own .npz; the layout is in `csi_utils.datasets.load`.

    Returns (arrays, axes). Raises ValueError that names the file, the array and what was expected.
    """
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("it holds one array, not an .npz archive")
        with file:
            arrays = {key: file[key] for key in file.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as problem:
        raise ValueError(f"{path}: not readable as an .npz without pickled objects: {problem}") from problem
    axes, wrong = {}, []
    for key, array in arrays.items():
        if key not in OWN:
            close = difflib.get_close_matches(key, OWN, 1)
            wrong.append(f"{key}: unknown array" + (f", did you mean {close[0]}?" if close else "")
                         + f" (known: {', '.join(OWN)})")
            continue
        by_ndim, kinds = OWN[key]
        if array.ndim not in by_ndim:
            expected = " or ".join(f"({', '.join(names)})" for names in by_ndim.values())
            wrong.append(f"{key}: shape {array.shape}, expected axes {expected}")
            continue
        axes[key] = by_ndim[array.ndim]
        if array.dtype.kind not in kinds:
            expected = " or ".join(_KINDS[kind] for kind in kinds)
            wrong.append(f"{key}: dtype {array.dtype}, expected {expected}")
        elif array.dtype.kind in "fc" and not (finite := np.isfinite(array)).all():
            wrong.append(f"{key}: {array.size - finite.sum()} values are NaN or infinite, the first at "
                         f"{tuple(np.argwhere(~finite)[0].tolist())}")
        if key == "xy" and array.shape[1] != 2:
            wrong.append(f"xy: shape {array.shape}, expected (packet, 2) in metres")
    signal = next((key for key in ("csi", "amp") if key in arrays), None)
    if signal is None:
        wrong.append("csi or amp: neither is there; one of them is needed")
    elif signal in axes:
        sizes = dict(zip(axes[signal], arrays[signal].shape, strict=True))
        if 0 in sizes.values():
            wrong.append(f"{signal}: shape {arrays[signal].shape} is empty")
        for key in axes:
            for axis, size in zip(axes[key], arrays[key].shape, strict=True):
                if axis in sizes and size != sizes[axis]:
                    wrong.append(f"{key}: {size} along {axis}, but {signal} has {sizes[axis]}")
    if wrong:
        raise ValueError(f"{path}: " + "; ".join(wrong))
    return arrays, axes
