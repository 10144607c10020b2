"""Upstream files -> plain arrays: one small function a source. (A person's own file: `csi_utils.files.own_data`.)

Each function reads what the public repository holds, returns a dict of arrays, and raises ValueError that
names the file when it is not what it should be. `datasets` compares the result with the registered digest.
"""

import gzip
import io
import pickle
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np

from csi_utils.files import captures

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


def csu_points(coords: bytes, info: bytes) -> dict:
    """The point_ arrays of loc-csu from its two workbooks: references, then test captures, sorted by name.

    Access points are numbered by their sorted MAC addresses, which are not kept: they identify hardware.
    """
    import pandas

    where, radio = (pandas.read_excel(io.BytesIO(book), sheet_name=None) for book in (coords, info))
    tables = []
    for is_test, kind in enumerate(("ref", "test")):
        for path in range(1, 6):
            table = where[f"{kind}_coord_path{path}"].merge(radio[f"{kind}_path{path}"], "left", "location",
                                                            validate="one_to_one")
            tables.append(table.assign(is_test=is_test, path=path))
    points = pandas.concat(tables).sort_values(["is_test", "location"])
    return {"point_is_test": points["is_test"].to_numpy(np.uint8), "point_name": np.array(points["location"].tolist()),
            "point_path": points["path"].to_numpy(np.uint8),
            "point_xy_m": np.ascontiguousarray(points[["x_coord", "y_coord"]].to_numpy(np.float32)),
            "point_rssi_dbm": points["RSSI"].to_numpy(np.float32),
            "point_channel": points["channel"].to_numpy(np.int16),
            "point_ap": np.unique(points["mac"].tolist(), return_inverse=True)[1].astype(np.uint8)}


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


# har-bedroom-meetingroom: the people are known by what they did, not by name: CRC-32 of amp_q of a person's first
# walk in the bedroom -> subject. Upstream has a fifth person, whom the set leaves out.
_WALK = {0x32694AAE: 0, 0x03CB3071: 1, 0x84A94E9E: 2, 0x5B9907B9: 3}
_SCENES = ("bedroom", "meetingroom")
_ACTIVITIES = ("", "lying", "sitting", "running", "walking", "pick up", "wave hand", "jump", "squat", "sit down",
               "stand up", "fall down")
_KEPT = np.arange(0, 30, 3)  # subcarriers


def har_sample(content: bytes, name="sample"):
    """One .mat file -> amp_q (rx, 10 subcarriers, packet) uint8 and scale (packet,) float16.

    amp_q * scale is the amplitude; the scale of a packet is its maximum over all 30 subcarriers / 255. In single
    precision, as the registered file was made. Raises ValueError naming the file.
    """
    from scipy.io import loadmat

    try:
        csi = loadmat(io.BytesIO(content))["csi"]
    except Exception as problem:  # scipy's reader raises many kinds for a file that is cut or foreign
        raise ValueError(f"{name}: no MATLAB file with an array csi: {problem}") from problem
    if csi.shape != (3, 30, 200) or csi.dtype.kind not in "fc":
        raise ValueError(f"{name}: expected csi (3, 30, 200), found {csi.dtype} {csi.shape}")
    amp = np.abs(csi.astype(np.complex64))
    top = amp.max((0, 1))
    if not (np.isfinite(top) & (top > 0)).all():
        raise ValueError(f"{name}: csi holds packets that are not finite or all zero")
    return np.round(255 * amp / top).astype(np.uint8)[:, _KEPT], (top / 255).astype(np.float16)


def har_bedroom_meetingroom(paths) -> dict:
    """har-bedroom-meetingroom from the zip archive of its repository (the only entry of `paths`).

    Rows are sorted by scene, activity, subject and trial, the trial as text. A sample that is a copy of an earlier
    one of the same person and activity is left out. Arrays and axes as in the registry.
    """
    with zipfile.ZipFile(paths[0]) as archive:
        found = [(match, name) for name in archive.namelist()
                 if (match := re.search(r"Processed Data/(bedroom|meetingroom)/(\d+)/([^/_]+)_\D*(\d+)\.mat$", name))]
        subject_of = {}
        for match, name in found:
            if match.group(1, 2, 4) == ("bedroom", "4", "1"):
                walk = zlib.crc32(har_sample(archive.read(name), name)[0].tobytes())
                subject_of[match[3]] = _WALK.get(walk)
        rows = sorted((_SCENES.index(match[1]), int(match[2]), subject_of[match[3]], match[4], name)
                      for match, name in found if subject_of.get(match[3]) is not None)
        seen, kept, amp_q, scale = set(), [], [], []
        for *row, name in rows:
            quantised, top = har_sample(archive.read(name), name)
            copy = (*row[:3], quantised.tobytes())
            if copy not in seen:
                seen.add(copy)
                kept.append(row)
                amp_q.append(quantised)
                scale.append(top)
    if not kept:
        raise ValueError(f"{paths[0]}: holds no sample of the four people")
    labels = np.array(kept).astype(np.uint8).T
    return {"amp_q": np.array(amp_q), "scale": np.array(scale),
            **dict(zip(("scene", "activity", "subject", "trial"), labels, strict=True)),
            "scene_names": np.array(_SCENES), "activity_names": np.array(_ACTIVITIES),
            "fs_hz": np.array(20, np.float32), "subcarrier_index_kept": _KEPT}


def metal_foil(paths) -> dict:
    """metal-foil-tiny from its upstream .csv files, in the registered order; the file stem names the recording.

    Lines without exactly 128 values are left out. Arrays and axes as in the registry.
    """
    parts, rec = [], []
    for index, path in enumerate(paths):
        *arrays, _ = captures.esp32_lines(Path(path).read_bytes())
        if not len(arrays[0]):
            raise ValueError(f"{path}: no line of the ESP32-CSI-Tool with 128 numbers")
        parts.append(arrays)
        rec.append(np.full(len(arrays[0]), index, np.uint8))
    csi, rssi, clock = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return {"csi_int8": csi, "rssi_dbm": rssi, "local_timestamp_us": clock, "rec": np.concatenate(rec),
            "rec_name": np.array([Path(path).stem for path in paths])}


def presence_motion(paths) -> dict:
    """presence-motion from its upstream .npz files, in the registered order.

    The file name gives label and chip, <label>_<chip>_64sc_<date>_<time>.npz; the file holds csi_data and what is
    known of the recording. The plain ESP32 cannot lock its gain. Arrays and axes as in the registry.
    """
    csi, rec, facts = [], [], []
    for index, path in enumerate(map(Path, paths)):
        with np.load(path, allow_pickle=False) as file:
            if file["csi_data"].dtype != np.int8 or file["csi_data"].shape[1:] != (128,):
                raise ValueError(f"{path}: expected csi_data int8 (packet, 128), "
                                 f"found {file['csi_data'].dtype} {file['csi_data'].shape}")
            csi.append(file["csi_data"])
            label, chip = path.stem.split("_")[:2]
            locked = bool(file["gain_locked"]) if "gain_locked" in file else chip != "esp32"
            facts.append((label, chip, str(file["collected_at"]), float(file["duration_ms"]), locked, path.name))
        rec.append(np.full(len(csi[-1]), index, np.uint8))
    label, chip, time, duration, locked, name = zip(*facts, strict=True)
    return {"csi_int8": np.concatenate(csi), "rec": np.concatenate(rec), "rec_label": np.array(label),
            "rec_chip": np.array(chip), "rec_time": np.array(time), "rec_duration_ms": np.array(duration, np.float32),
            "rec_gain_locked": np.array(locked), "rec_file": np.array(name)}


def read_idx(path) -> np.ndarray:
    """The uint8 array of an idx file, as MNIST is published; gzip is undone. Raises ValueError naming the file."""
    try:
        content = Path(path).read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        if content[:3] != b"\0\0\x08" or content[3] == 0:
            raise ValueError("not an idx file of unsigned bytes")
        shape = np.frombuffer(content, ">u4", content[3], 4).astype(int)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape)
    except (ValueError, IndexError, EOFError, gzip.BadGzipFile, zlib.error) as problem:
        raise ValueError(f"{path}: no idx file, or one that is cut: {problem}") from problem


def mnist(paths) -> dict:
    """mnist from its four idx files: training images and labels, test images and labels. Arrays as in the registry."""
    arrays = dict(zip(("x_train", "y_train", "x_test", "y_test"), map(read_idx, paths), strict=True))
    for x, y, path in (("x_train", "y_train", paths[0]), ("x_test", "y_test", paths[2])):
        if arrays[x].shape != (len(arrays[y]), 28, 28) or arrays[y].ndim != 1:
            raise ValueError(f"{path}: expected images (n, 28, 28) with n labels, found {arrays[x].shape} and labels "
                             f"{arrays[y].shape}")
    return arrays


def usps(paths) -> dict:
    """usps from its HDF5 file (the only entry of `paths`), which needs h5py. Arrays as in the registry.

    The file holds grey values 0..1 as float32, all multiples of 1/2000; they are kept as whole numbers.
    """
    try:
        import h5py
    except ImportError as problem:
        raise ImportError("usps is published as an HDF5 file, which needs h5py: pip install h5py") from problem
    arrays = {}
    try:
        with h5py.File(paths[0], "r") as file:
            for part in ("train", "test"):
                x, y = file[part]["data"][:], file[part]["target"][:]
                if x.shape != (len(y), 256) or not 0 <= x.min() <= x.max() <= 1:
                    raise ValueError(f"expected data (n, 256) in 0..1, found {x.shape} in {x.min()}..{x.max()}")
                arrays[f"x_{part}"] = np.round(2000 * x.astype(float)).astype(np.uint16).reshape(-1, 16, 16)
                arrays[f"y_{part}"] = y.astype(np.uint8)
    except (OSError, KeyError, AttributeError, ValueError) as problem:
        raise ValueError(f"{paths[0]}: not the HDF5 file of USPS: {problem}") from problem
    return arrays


def office_caltech_surf(paths) -> dict:
    """office-caltech-surf from its four .mat files: caltech, amazon, webcam, dslr. Arrays as in the registry."""
    from scipy.io import loadmat

    arrays = {}
    for domain, path in zip(("caltech", "amazon", "webcam", "dslr"), paths, strict=True):
        try:
            file = loadmat(path)
            x, y = file["fts"], file["labels"].ravel()
        except Exception as problem:  # scipy's reader raises many kinds for a file that is cut or foreign
            raise ValueError(f"{path}: no MATLAB file with fts and labels: {problem}") from problem
        if x.shape != (len(y), 800) or (x != np.round(x)).any() or x.min() < 0:
            raise ValueError(f"{path}: expected counts (n, 800) with n labels, found {x.shape} and {y.shape}")
        arrays[f"x_{domain}"], arrays[f"y_{domain}"] = x.astype(np.uint16), y.astype(np.uint8)
    return arrays


def mnist_m(mnist, patches) -> dict:
    """mnist-m from the arrays of mnist and mnist-m-patches. Arrays as in the registry.

    Each digit is laid over a crop of 28 x 28 of a photo patch: |crop - digit| in each colour. Training digits get
    patches with is_test 0, test digits those with is_test 1; patch and place are drawn evenly, seed 0 for both parts.
    """
    windows = np.lib.stride_tricks.sliding_window_view(patches["patches"], (28, 28), (1, 2)).transpose(0, 1, 2, 4, 5, 3)
    arrays = {}
    for number, part in enumerate(("train", "test")):
        rng, digits = np.random.default_rng([0, number]), mnist[f"x_{part}"]
        patch = rng.choice(np.flatnonzero(patches["is_test"] == number), len(digits)).astype(np.uint16)
        corner = rng.integers(0, windows.shape[1:3], (len(digits), 2)).astype(np.uint8)
        x = np.empty((*digits.shape, 3), np.uint8)
        for start in range(0, len(x), 4096):
            rows = slice(start, start + 4096)
            crop, digit = windows[patch[rows], corner[rows, 0], corner[rows, 1]], digits[rows, :, :, None]
            x[rows] = np.maximum(crop, digit) - np.minimum(crop, digit)
        arrays |= {f"x_{part}": x, f"y_{part}": mnist[f"y_{part}"], f"patch_{part}": patch, f"corner_{part}": corner}
    return arrays
