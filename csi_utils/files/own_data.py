"""A person's own .npz file: which arrays it may hold, in which shapes and types, and how to split it honestly."""

import difflib
import io
import math
import zipfile
import zlib

import numpy as np

# array -> (axes after "packet" by ndim, dtype kinds).
_SIGNAL = {4: ("packet", "subcarrier", "rx", "tx"), 5: ("packet", "link", "subcarrier", "rx", "tx")}
OWN = {"csi": (_SIGNAL, "c"), "amp": ({2: ("packet", "feature")} | _SIGNAL, "fiu"),
       "xy": ({2: ("packet", "xy")}, "fiu"), "location": ({1: ("packet",)}, "iu"),
       "activity": ({1: ("packet",)}, "iuU"), "session": ({1: ("packet",)}, "iuU"),
       "recording": ({1: ("packet",)}, "iuU"), "point": ({1: ("packet",)}, "iuU"),
       "link": ({1: ("packet",)}, "iuU"), "t": ({1: ("packet",)}, "fiu"),
       "rssi": ({1: ("packet",)}, "fiu"), "gain": ({1: ("packet",)}, "fiu"),
       "subcarrier_index": ({1: ("subcarrier",)}, "iu"), "null": ({1: ("subcarrier",)}, "b"),
       "fs": ({0: ()}, "fiu"), "fc": ({0: ()}, "fiu"), "bandwidth": ({0: ()}, "fiu")}
_KINDS = {"b": "true or false", "c": "complex", "f": "real", "i": "integer", "u": "unsigned", "U": "text"}
# What people call the arrays of labels, where that is not near enough to be guessed.
_CALLED = {"label": "location or activity", "labels": "location or activity", "class": "location or activity",
           "position": "xy or location", "place": "location", "room": "session", "day": "session", "domain": "session",
           "environment": "session", "person": "session", "x": "xy", "y": "xy", "trial": "recording",
           "motion": "activity", "action": "activity", "data": "csi or amp", "amplitude": "amp"}
# An array that grows to more than LARGE bytes, by more than TIMES, is no recording: it is refused before it grows.
LARGE, TIMES = 1 << 28, 200


def near(name, known):
    """What a name that is not known probably means, or None."""
    return _CALLED.get(name.lower()) or next(iter(difflib.get_close_matches(name, known, 1)), None)


def read(path) -> dict:
    """The arrays, axes, groups, honest_split and card of a person's own .npz, for `csi_utils.datasets.Dataset`.

    It holds `csi`, complex, (packet, subcarrier, rx, tx) or (packet, link, subcarrier, rx, tx), or `amp`, real, in
    these shapes or (packet, feature). Optional, one a packet: `xy` (packet, 2) in metres; `location`, integer class;
    `activity`, what the person does, `session`, `recording` (which one the packet belongs to), `point` and `link`,
    integer or text; `t` in seconds; `rssi` in dBm; `gain` of the receiver's amplifier in dB. Optional metadata:
    `subcarrier_index` (subcarrier,), signed; `null` (subcarrier,), true where a subcarrier carries nothing of use;
    `fs`, `fc`, `bandwidth` in Hz. Values are finite. Raises FileNotFoundError, and ValueError that names the file, the
    array and what was expected; pickled objects are refused.
    """
    if not path.is_file():
        raise FileNotFoundError(f"name: there is no file {path} (looked for at {path.absolute()})")
    arrays, axes = _checked(path)
    groups = tuple(key for key in ("session", "recording", "point") if key in arrays)
    card = {"title": "your own data", "task": "", "hardware": "", "licence": "yours to state",
            "redistribution": "yours to decide", "citation": "", "upstream": {},
            "caveats": [] if "session" in arrays else ["no session array: another day or room cannot be tested"]}
    split = (f"keep every {' and '.join(groups)} on one side" if groups else
             "split by packet order, which is time, and not at random")
    return {"arrays": arrays, "axes": axes, "groups": groups, "honest_split": split, "card": card}


def _checked(path):
    try:
        wrong = _headers(path)
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files if key not in wrong}
    except MemoryError as problem:
        raise ValueError(f"{path}: does not fit in this computer's memory: {problem}") from problem
    except (ValueError, EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as problem:
        raise ValueError(f"{path}: not readable as an .npz without pickled objects: {problem}") from problem
    return checked(path, arrays, list(wrong.values()))


def _headers(path):
    """What each array of an .npz says of itself, before any is read: {array: what is wrong}. Raises ValueError for a
    file that is none, or whose arrays do not have the size that they say."""
    wrong = {}
    with open(path, "rb") as file:
        if file.read(6) == b"\x93NUMPY":
            raise ValueError("it holds one array, not an .npz archive")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len({member.filename for member in members}) < len(members):
            raise ValueError("two arrays have one name")
        for member in members:
            key = member.filename.removesuffix(".npy")
            if key not in OWN:
                close = near(key, OWN)
                wrong[key] = (f"{key}: unknown array" + (f", did you mean {close}?" if close else "")
                              + f" (known: {', '.join(OWN)})")
                continue
            with archive.open(member) as file:
                head = io.BytesIO(file.read(1 << 14))
            version = np.lib.format.read_magic(head)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"{key}: .npy format {version}, expected (1, 0) or (2, 0)")
            read_header = (np.lib.format.read_array_header_1_0 if version == (1, 0)
                           else np.lib.format.read_array_header_2_0)
            shape, _, dtype = read_header(head)
            if dtype.hasobject:
                raise ValueError(f"{key}: it is of pickled objects")
            size = math.prod(shape) * dtype.itemsize
            if size != member.file_size - head.tell():
                raise ValueError(f"{key}: {dtype} {shape} would be {size} bytes, but there are "
                                 f"{member.file_size - head.tell()}")
            if size > max(LARGE, TIMES * member.compress_size):
                raise ValueError(f"{key}: {member.compress_size} bytes grow to {size}, which no recording does")
    return wrong


def checked(path, arrays, wrong=()):
    """(arrays, axes), if the arrays have the layout; ValueError names the path, the array and what was expected."""
    axes, wrong = {}, list(wrong)
    for key, array in arrays.items():
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
