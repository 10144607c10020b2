"""Capture files with labels -> a person's own .npz, checked, with a picture of what was read.

One file is one recording. What was left out is said; the file is written whole or not at all.
"""

import os
import tempfile
from pathlib import Path

import numpy as np

from csi_utils.files import captures, own_data, packets, picture

LABELS = ("session", "location", "activity", "xy", "point", "link", "recording")
JUMP = 3.0  # dB from one packet to the next, on all subcarriers together: a step of the receiver's gain, as a rule
DEAD = 0.05  # of the median over subcarriers


def import_files(paths, to, labels=None, table=None, field=None, rate=None, keep_null=False, replace=False, say=print):
    """Read capture files, put their packets and labels into the .npz file `to`, and a picture beside it.

    paths: files and folders; labels: {name: text}, of LABELS, the same for all files; table: path of a CSV file with a
    column `file` and one for each label (`x` and `y` for xy). Where there is no such table, a template with a line for
    each file is written in its place and nothing else is done. field: the training field of ESP32 logs. rate: Hz, to
    keep for each instant the packet nearest in time, else packets stay as they came. keep_null: keep subcarriers that
    carry nothing, with an array that says which. replace: may `to` be there already. say: what prints a sentence.
    Returns the path of the .npz, or of the template. Raises FileNotFoundError, FileExistsError, ModuleNotFoundError
    where a format needs csiread, and ValueError naming the file, the label and what was expected.
    """
    to = Path(to).expanduser()
    if to.suffix != ".npz":
        raise ValueError(f"to: got {to}, expected a name that ends in .npz")
    for made in (to, to.with_suffix(".png")):
        if made.exists() and not replace:
            raise FileExistsError(f"to: {made} is there already; choose another name, or say --replace")
    if not to.absolute().parent.is_dir():
        raise FileNotFoundError(f"to: there is no folder {to.absolute().parent}")
    if rate is not None and not 0 < rate < 1e6:
        raise ValueError(f"rate: got {rate}, expected packets a second, above 0")
    files = _files(paths, say)
    labels = {name: [value] * len(files) for name, value in _named(labels or {}, "label").items()}
    if table is not None:
        table = Path(table).expanduser()
        if not table.is_file():
            return _template(table, files, say)
        files, found = _table(table, files, say)
        labels = {name: values[:1] * len(files) for name, values in labels.items()} | found
    return _write(to, *_arrays(files, labels, field, rate, keep_null, say), say)


def _files(paths, say):
    """The files that are named, and those of the named folders that are captures by their first bytes."""
    files = []
    for path in map(Path, paths):
        path = path.expanduser()
        if path.is_dir():
            inside = [file for file in sorted(path.iterdir()) if file.is_file() and not file.name.startswith(".")]
            here = [file for file in inside if packets.kind_of(file) in packets.READABLE]
            if other := [file.name for file in inside if file not in here]:
                say(f"{path}: passed over {len(other)} files that are no captures: {', '.join(other[:5])}"
                    + (", ..." if len(other) > 5 else ""))
            files += here
        else:
            files.append(packets.existing(path))
    files = list({file.resolve(): file for file in files}.values())
    if not files:
        raise ValueError("files: no capture is among what was named; expected one of: "
                         + ", ".join(packets.READABLE.values()))
    return files


def _named(labels, what):
    """The labels, if all are known; ValueError says what is near an unknown one."""
    for name in labels:
        if name not in LABELS:
            near = own_data.near(name, LABELS)
            raise ValueError(f"{what}: {name!r} is unknown" + (f", did you mean {near}?" if near else ".")
                             + f" Known: {', '.join(LABELS)}")
    return labels


def _template(table, files, say):
    import pandas as pd

    names = [os.path.relpath(file, table.absolute().parent) for file in files]
    blank = {"file": names} | dict.fromkeys(("session", "activity", "location", "x", "y"), "")
    pd.DataFrame(blank).to_csv(table, index=False)
    say(f"{table}: written, with a line for each of {len(files)} files. Fill in what you know (session is the day, the "
        "room or the visit; activity what the person does; location the number of a place, or x and y in metres); "
        "empty columns may stay. Then give the same command again.")
    return table


def _table(table, files, say):
    """The files that the table names and their labels. Names are looked for beside the table and among the files."""
    import pandas as pd

    try:
        with open(table, encoding="utf-8-sig") as file:
            head = file.readline(10_000)
        separator = next((mark for mark in ";\t" if mark in head), ",")  # a spreadsheet's choice
        rows = pd.read_csv(table, sep=separator, dtype=str, encoding="utf-8-sig", keep_default_na=False)
    except Exception as problem:  # pandas raises many kinds
        raise ValueError(f"{table}: not readable as a table: {problem}") from problem
    rows = rows.rename(columns=lambda name: str(name).strip()).map(str.strip)
    if "file" not in rows:
        raise ValueError(f"{table}: it has no column file; its columns are {', '.join(rows)}")
    rows = rows.loc[:, [bool((rows[name] != "").any()) for name in rows]]
    if ("x" in rows) != ("y" in rows):
        raise ValueError(f"{table}: of x and y one is missing")
    if "x" in rows:
        rows["xy"] = rows["x"] + " " + rows["y"]
    labels = _named({name: rows[name] for name in rows if name not in ("file", "x", "y")}, f"{table}: column")
    by_name = {}
    for file in files:
        by_name.setdefault(file.name, file)
    chosen = []
    for name in rows["file"]:
        beside = table.absolute().parent / name
        file = beside if beside.is_file() else by_name.get(Path(name).name)
        if file is None:
            raise FileNotFoundError(f"{table}: names {name}, which is not beside it nor among the files of the command")
        chosen.append(file)
    resolved = [file.resolve() for file in chosen]
    if twice := sorted({file.name for file in resolved if resolved.count(file) > 1}):
        raise ValueError(f"{table}: names {', '.join(twice)} more than once")
    if rest := [file.name for file in files if file.resolve() not in resolved]:
        say(f"{table}: does not name {', '.join(rest)}: left out")
    for name, values in labels.items():
        if missing := [file.name for file, value in zip(chosen, values, strict=True) if not value]:
            raise ValueError(f"{table}: {name} is empty for {', '.join(missing)}")
    return chosen, {name: values.tolist() for name, values in labels.items()}


def _arrays(files, labels, field, rate, keep_null, say):
    """(arrays of the layout, (name, first packet) of each recording)."""
    names = _unique(files)
    found = []
    for file in files:
        one = captures.read(file, field)
        say(f"{packets.READABLE[one.kind]}: {packets.said(file, len(one.t), one.dropped, one.unit)}"
            + (f" {one.remark[0].upper()}{one.remark[1:]}." if one.remark else ""))
        back = int((np.diff(one.t) < 0).sum())
        if back:
            say(f"{file.name}: the clock steps back {back} times; packets stay in the order of the file")
        found.append(one)
    _alike(files, found)
    if rate is not None:
        found = [_even(file, one, rate, say) for file, one in zip(files, found, strict=True)]
    null = np.any([one.null for one in found], axis=0)
    if null.all():
        raise ValueError(f"{files[0]}: no subcarrier carries anything in all of the files")
    index = found[0].subcarrier_index
    kept = np.ones(len(null), bool) if keep_null else ~null
    if null.any() and not keep_null:
        which = f" ({_runs(index[null])})" if index is not None else ""
        say(f"{null.sum()} of {len(null)} subcarriers carry nothing of use and were left out{which}")
    sizes = [len(one.t) for one in found]
    csi = np.empty((sum(sizes), kept.sum(), *found[0].csi.shape[2:]), np.complex64)
    start = 0
    for one in found:
        csi[start:start + len(one.t)] = one.csi[:, kept]
        start += len(one.t)
    arrays = {"csi": csi, "t": np.concatenate([one.t for one in found])}
    for name in ("rssi", "gain"):
        values = [getattr(one, name) for one in found]
        if all(value is not None for value in values):
            arrays[name] = np.concatenate(values).astype(np.float32)
        elif any(value is not None for value in values):
            say(f"{name}: not in every file, so it was left out")
    if index is not None:
        arrays["subcarrier_index"] = index[kept].astype(np.int16)
    if keep_null:
        arrays["null"] = null
    for name in ("fc", "bandwidth"):
        values = {getattr(one, name) for one in found}
        if len(values) == 1 and None not in values:
            arrays[name] = np.array(values.pop())
    if rate is not None:
        arrays["fs"] = np.array(float(rate))
    for name, values in ({"recording": names} | labels).items():
        for key, value in _label(name, values, files, say).items():
            arrays.setdefault(key, np.repeat(value, sizes, axis=0))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).tolist()
    _say_quality(arrays, starts, sizes, found, say)
    return arrays, list(zip(names, starts, strict=True))


def _unique(files):
    """A name for each file: its stem; where two are the same, with its folder, or, if that is not enough, a number."""
    names = [file.stem for file in files]
    if len(set(names)) < len(names):
        names = [f"{file.absolute().parent.name}/{file.name}" for file in files]
    if len(set(names)) < len(names):
        names = [f"{number}/{file.name}" for number, file in enumerate(files)]
    return names


def _alike(files, found):
    """ValueError where the files do not hold the same subcarriers and antennas."""
    kinds = [(one.csi.shape[1:], None if one.subcarrier_index is None else tuple(one.subcarrier_index.tolist()))
             for one in found]
    if len(set(kinds)) > 1:
        listed = "; ".join(f"{file.name}: {shape[0]} subcarriers"
                           + (f" {index[0]}..{index[-1]}" if index else "") + f", {shape[1]} rx, {shape[2]} tx"
                           for file, (shape, index) in zip(files, kinds, strict=True))
        raise ValueError(f"files: they do not fit each other, and one .npz holds one kind of packet: {listed}. Import "
                         "them apart, or, of ESP32 logs, choose a field that all have (LLTF)")


def _even(file, one, rate, say):
    """The packets nearest to the instants of an even rate."""
    from dataclasses import replace

    order = np.argsort(one.t, kind="stable")
    t = one.t[order]
    if t[-1] * rate > 1e8 or t[-1] * rate > 1000 * len(t):
        raise ValueError(f"{file}: {t[-1]:.0f} s at {rate:g} packets a second are {t[-1] * rate:.3g} instants, for "
                         f"{len(t)} packets: its clock or the rate is wrong")
    instants = t[0] + np.arange(int((t[-1] - t[0]) * rate) + 1) / rate
    after = np.clip(np.searchsorted(t, instants), 1, len(t) - 1) if len(t) > 1 else np.zeros(len(instants), int)
    nearest = after - (instants - t[after - 1] < t[after] - instants) if len(t) > 1 else after
    far, used = np.abs(t[nearest] - instants).max(), len(np.unique(nearest))
    say(f"{file.name}: {len(t)} packets at uneven times, {len(instants)} instants at {rate:g} Hz: "
        f"{len(instants) - used} of these repeat a packet, {len(t) - used} packets are not used, none is farther than "
        f"{far:.3g} s from its instant")
    rows = order[nearest]
    taken = {name: getattr(one, name)[rows] for name in ("csi", "rssi", "gain") if getattr(one, name) is not None}
    return replace(one, t=instants - instants[0], **taken)


def _label(name, values, files, say):
    """{array: (file, ...)} of the texts of one label."""
    if name == "xy":
        try:
            places = np.array([[float(part) for part in value.replace(",", " ").replace(";", " ").split()]
                               for value in values])
            if places.shape[1:] != (2,) or not np.isfinite(places).all():
                raise ValueError
        except ValueError:
            some = ", ".join(map(repr, dict.fromkeys(values[:3])))
            raise ValueError(f"xy: got {some}, expected two numbers in metres, as 1.5,2") from None
        return {"xy": places}
    try:
        numbers = np.array([int(value) for value in values])
    except ValueError:
        numbers = None
    if numbers is not None and (name != "recording"):
        if name == "location" and (numbers < 0).any():
            raise ValueError(f"location: got {numbers.min()}, expected numbers of places, 0 or above")
        return {name: numbers}
    if name != "location":
        return {name: np.array([str(value) for value in values])}
    places, numbers = np.unique(values, return_inverse=True)
    say("location: " + ", ".join(f"{number} is {place}" for number, place in enumerate(places))
        + "; keep this line, the file holds the numbers only")
    return {"location": numbers}


def _runs(numbers):
    """ "-32..-29, 0, 29..31" """
    cuts = np.flatnonzero(np.diff(numbers) > 1) + 1
    return ", ".join(f"{run[0]}" if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in np.split(numbers, cuts))


def dead(csi, index=None):
    """Which subcarriers stay under DEAD of the median in all of the packets, as bool."""
    amplitude = np.median(np.abs(csi[:: max(1, len(csi) // 2000)]).mean((2, 3)), axis=0)
    return amplitude < DEAD * np.median(amplitude)


def level(csi):
    """The mean power of each packet in dB."""
    power = np.concatenate([(np.abs(csi[start:start + 4096]) ** 2).mean((1, 2, 3))
                            for start in range(0, len(csi), 4096)])
    return 10 * np.log10(np.maximum(power, 1e-20))


def jumps(csi, starts):
    """The packets that are JUMP dB above or below the one before them, in the same recording."""
    step = np.abs(np.diff(level(csi), prepend=np.nan))
    step[starts] = 0
    return np.flatnonzero(step > JUMP)


def _say_quality(arrays, starts, sizes, found, say):
    csi = arrays["csi"]
    weak = dead(csi)
    if weak.any():
        index = arrays.get("subcarrier_index", np.arange(len(weak)))
        say(f"{weak.sum()} more subcarriers are dead: {_runs(index[weak])}. They were kept.")
    found_jumps = jumps(csi, starts)
    if len(found_jumps):
        say(f"{len(found_jumps)} of {len(csi)} packets differ from the one before by more than {JUMP:g} dB on all "
            "subcarriers together: gain steps of the receiver, or packets of several senders")
    for one, size in zip(found, sizes, strict=True):
        gaps = np.diff(one.t)
        if size > 2 and gaps.max() > 10 * np.median(gaps):
            say(f"a gap of {gaps.max():.3g} s in a recording whose packets are mostly {np.median(gaps):.3g} s apart")


def _write(to, arrays, recordings, say):
    own_data.checked(to, arrays)
    image = to.with_suffix(".png")
    parts = []
    try:
        for suffix in (".npz", ".png"):
            handle, name = tempfile.mkstemp(suffix=suffix, prefix=f".{to.stem}-", dir=to.absolute().parent)
            os.close(handle)
            parts.append(Path(name))
        np.savez_compressed(parts[0], **arrays)
        own_data.read(parts[0])
        weak, steps = dead(arrays["csi"]), jumps(arrays["csi"], [start for _, start in recordings])
        picture.draw(parts[1], arrays, recordings, level(arrays["csi"]), weak, steps)
        for part in parts:
            part.chmod(0o666 & ~_umask())
        os.replace(parts[1], image)
        os.replace(parts[0], to)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    names = [name for name in LABELS if name in arrays]
    say(f"{to}: {len(arrays['csi'])} packets x {' x '.join(map(str, arrays['csi'].shape[1:]))} (subcarriers, rx, tx), "
        f"{len(recordings)} recording{'s' * (len(recordings) > 1)}, {', '.join(names)}")
    if "session" not in arrays:
        say("no session: another day or room cannot be tested. Add session=... where you know it.")
    elif len(np.unique(arrays["session"])) == 1:
        say("one session only: another day or room cannot be tested, and notebooks that split by session refuse it.")
    if not {"location", "xy", "activity"} & set(arrays):
        say("no location, xy or activity: there is nothing to predict yet.")
    say(f"{image}: a picture of it. Look at it before you trust any number.")
    return to


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
