"""Where real data come from: mirror, cache, public source. What is not the registered data is never used.

`datasets` is the door; this module keeps the files. The order, and what each place must match:

1. CSI_DATA_MIRROR, a directory: read in place, never written; bytes and sha256 of data/datasets.toml.
2. The cache (CSI_DATA_CACHE, or pooch's folder of the operating system): the same, or equal content.
3. CSI_DATA_MIRROR, an http(s) URL: downloaded into the cache; bytes and sha256.
4. The public source at a pinned commit: converted (csi_utils.files.converters) into the cache; equal content. A set
   whose entry says `mirror_only` has no converter and ends at 3.

A set whose entry says `made_from` has no file: it is computed from other sets on load, to equal content. An entry of
`kind = "capture"` is one raw file: nothing is converted, and its bytes are asked for everywhere.

CSI_DATA_OFFLINE=1 forbids every connection.
"""

import functools
import hashlib
import os
import shutil
import sys
import tempfile
import threading
import time
import tomllib
import zipfile
import zlib
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np

from csi_utils import ROOT
from csi_utils.files import converters

PROBE_SECONDS = 4.0  # all failed connectivity probes of a process together
_HOW_MIRROR = "set CSI_DATA_MIRROR to a directory or URL that holds them"
HOW = f"{_HOW_MIRROR}, or run csi-papers data fetch where there is a network"


class DataUnavailable(OSError):
    """The data cannot be had here and now; the message says why and what to do."""


class DataAltered(ValueError):
    """Data are there but are not the registered ones; they are not used."""


class NoMirror(FileNotFoundError):
    """CSI_DATA_MIRROR names something that is no mirror. Whoever sets it wants it, so nothing goes on without."""


@functools.cache
def registry() -> dict:
    """data/datasets.toml of the checkout: name -> entry. Raises FileNotFoundError when it is missing."""
    path = ROOT / "data" / "datasets.toml"
    if not path.is_file():
        raise FileNotFoundError(f"the data registry {path} is missing: install a checkout with pip install -e .")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def content_digest(arrays: dict) -> str:
    """sha256 over the arrays sorted by name: name, dtype, shape, C-order bytes. Compression does not matter."""
    digest = hashlib.sha256()
    for key in sorted(arrays):
        array = np.ascontiguousarray(arrays[key])
        digest.update(f"{key}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


@functools.lru_cache(maxsize=32)
def _sha256(path, _size, _mtime_ns):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_capture(name: str) -> bool:
    """Is `name` one raw file, not a set of arrays?"""
    return registry()[name].get("kind") == "capture"


def read(name: str, path: Path, place: str, address=None):
    """The arrays of `path`, of a capture the path, when they are the registered ones; else raises DataAltered.

    place: "mirror", "cache" or "public source". A file converted from the public source compresses to other
    bytes than the mirror's, so equal content is enough there and in the cache; in a mirror it is not. address:
    where a file that was just fetched came from, for the message.
    """
    entry, stat = registry()[name], path.stat()
    found = _sha256(path, stat.st_size, stat.st_mtime_ns)
    same_bytes = (stat.st_size, found) == (entry["bytes"], entry["sha256"])
    if is_capture(name):
        if same_bytes:
            return path
    elif same_bytes or place != "mirror":
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
            if same_bytes or content_digest(arrays) == entry["content"]:
                return arrays
        except (ValueError, TypeError, AttributeError, OSError, EOFError, zipfile.BadZipFile, zlib.error):
            pass  # not even an npz: reported below for what it is, another file
    cure = {"mirror": "Copy it anew into the mirror, or unset CSI_DATA_MIRROR.",
            "cache": f"csi-papers data fetch {name} replaces it.",
            "public source": "The public source changed, or a proxy did; use a mirror (CSI_DATA_MIRROR)."}[place]
    raise DataAltered(f"{name}: {address or path} is not the registered file and is not used: "
                      f"expected {entry['bytes']} bytes, sha256 {entry['sha256']}; "
                      f"found {stat.st_size} bytes, sha256 {found}. {cure}")


def make(name: str, parts: list) -> dict:
    """The arrays of a set that is made from others; parts: theirs, in the order of `made_from`. Raises DataAltered."""
    entry = registry()[name]
    arrays = getattr(converters, entry["converter"])(*parts)
    if (found := content_digest(arrays)) != entry["content"]:
        raise DataAltered(f"{name}: what was made from {', '.join(entry['made_from'])} is not the registered set and "
                          f"is not used: expected content {entry['content']}, found {found}. Another NumPy may draw "
                          "other random numbers: use the versions of constraints.txt.")
    return arrays


def mirror():
    """CSI_DATA_MIRROR as a Path (directory), a str (http URL) or None. A relative directory is looked for from
    the working directory, then from the checkout, because a notebook's working directory is its own folder."""
    value = os.environ.get("CSI_DATA_MIRROR", "")
    if value.startswith(("http://", "https://")):
        return value.rstrip("/")
    if not value:
        return None
    path = Path(url2pathname(urlsplit(value).path) if value.startswith("file:") else value).expanduser()
    for folder in (path, ROOT / path):
        if folder.is_dir():
            return folder.resolve()
    raise NoMirror(f"CSI_DATA_MIRROR={value} is no directory (looked for at {path.absolute()}); expected a directory "
                   "or an http(s) or file URL. Unset it to do without a mirror.")


def check_mirror():
    """Raise NoMirror when CSI_DATA_MIRROR is set and holds no registered file, or does not answer.

    Asked before a run, for each set would else be missed by itself. A URL is not asked when CSI_DATA_OFFLINE=1.
    """
    base, problem = mirror(), ""
    if base is None or (isinstance(base, str) and _offline()):
        return
    for entry in registry().values():
        if "file" not in entry:
            continue
        if isinstance(base, str):
            problem = probe(f"{base}/{entry['file']}")
            found = not problem
        else:
            found = (base / entry["file"]).is_file()
        if found:
            return
    raise NoMirror(f"CSI_DATA_MIRROR={os.environ['CSI_DATA_MIRROR']} holds none of the registered data files"
                   f"{problem and f' ({problem})'}; expected them under the names that data/datasets.toml gives. "
                   "Unset it to do without a mirror.")


def cached(name: str) -> Path:
    """Where the cache keeps `name`, whether it is there or not. The content is part of the file name, so an old
    version is never taken for an altered one."""
    folder = os.environ.get("CSI_DATA_CACHE", "")
    if not folder:
        from platformdirs import user_cache_dir  # what pooch.os_cache asks, without importing pooch

        folder = user_cache_dir("csi-paper-notebooks")
    entry = registry()[name]
    digest, suffix = (entry["sha256"], Path(entry["file"]).suffix) if is_capture(name) else (entry["content"], ".npz")
    return Path(folder).expanduser() / f"{name}-{digest[:8]}{suffix}"


def places(name: str) -> list:
    """[(path, "mirror" | "cache")] of the files that are on this machine, not yet checked, the first to use first."""
    folder, found = mirror(), []
    if "made_from" in registry()[name]:
        return []
    if isinstance(folder, Path):
        found = [(folder / registry()[name]["file"], "mirror")]
    return [(path, place) for path, place in [*found, (cached(name), "cache")] if path.is_file()]


def remotes(name: str) -> list:
    """[("mirror" | "public source", URL that must answer)]; no public source where the entry is `mirror_only`."""
    base, entry = mirror(), registry()[name]
    urls = [("mirror", f"{base}/{entry['file']}")] if isinstance(base, str) else []
    if "mirror_only" in entry:
        return urls
    return [*urls, ("public source", f"{entry['upstream']['base']}/{entry['upstream']['files'][0]['path']}")]


_probes: dict[str, str] = {}  # URL -> "" or why it cannot be had
_budget = {"left": PROBE_SECONDS}
_lock = threading.Lock()


def probe(url: str) -> str:
    """Empty when `url` answers, else why not. Asked once a process; all failures together take PROBE_SECONDS.

    The question is put on a thread, because no socket timeout covers a name server that does not answer.
    """
    if _offline():
        return "CSI_DATA_OFFLINE is set"
    with _lock:
        if url not in _probes:
            start, answer = time.monotonic(), []
            thread = threading.Thread(target=lambda: answer.append(_ask(url)), daemon=True)
            thread.start()
            thread.join(max(_budget["left"], 0.0))
            _probes[url] = answer[0] if answer else f"no answer from {urlsplit(url).netloc}"
            if _probes[url]:
                _budget["left"] -= time.monotonic() - start
        return _probes[url]


def _offline():
    return os.environ.get("CSI_DATA_OFFLINE", "") not in ("", "0")


def _ask(url) -> str:
    import requests

    try:
        status = requests.head(url, timeout=PROBE_SECONDS).status_code
    except OSError as problem:  # requests' own errors, and a blocked socket's
        return f"no connection to {urlsplit(url).netloc} ({type(problem).__name__})"
    return "" if status < 400 else f"{urlsplit(url).netloc} answers with status {status}"


def _mirror_only(name) -> list:
    """The reasons why the public source does not help, as a list; of a set made from others, theirs."""
    entry = registry()[name]
    if "made_from" in entry:
        return [f"{part}: {reason}" for part in entry["made_from"] for reason in _mirror_only(part)]
    return [f"it comes from a mirror only ({entry['mirror_only']})"] if "mirror_only" in entry else []


def how(name: str) -> str:
    """What a person can do to have `name`, the end of a sentence."""
    return _HOW_MIRROR if _mirror_only(name) else HOW


def available(name: str):
    """(True, where) or (False, why not), without downloading: mirror, cache, then a probe of the network.

    Present is not verified; `read` does that.
    """
    if made_from := registry()[name].get("made_from"):
        missing = [f"{part}: {why}" for part in made_from for here, why in [available(part)] if not here]
        return not missing, "; ".join(missing) or f"made on load from {', '.join(made_from)}"
    if here := places(name):
        return True, f"{here[0][1]}: {here[0][0]}"
    why = _mirror_only(name)
    for place, url in remotes(name):
        if not (problem := probe(url)):
            return True, f"{place}: {url}"
        why.append(problem)
    return False, f"neither in a mirror directory nor in the cache; {'; '.join(why)}"


def fetch(name: str) -> Path:
    """Put a verified copy of `name` into the cache and return its path; a good one that is there is kept.

    A bad one is replaced, but only by a verified one. Of a set made from others these are fetched; returns the
    cache. Raises DataUnavailable, DataAltered.
    """
    if made_from := registry()[name].get("made_from"):
        return [fetch(part) for part in made_from][0].parent
    target, problems = cached(name), []
    if target.is_file():
        try:
            read(name, target, "cache")
            return target
        except DataAltered as problem:
            print(problem, file=sys.stderr)
    local = [(place, path) for path, place in places(name) if place == "mirror"]
    for place, address in [*local, *remotes(name)]:
        if isinstance(address, str) and (problem := probe(address)):
            problems.append(problem)
            continue
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # A folder beside the target, so that the last step is one rename and no half file is ever seen.
            with tempfile.TemporaryDirectory(prefix=".part-", dir=target.parent) as folder:
                file = Path(folder) / target.name
                _get(name, place, address, file)
                read(name, file, place, address)
                os.replace(file, target)
            return target
        except (OSError, ImportError) as problem:  # ImportError: a converter that needs an optional package
            problems.append(f"{address}: {type(problem).__name__}: {problem}")
    raise DataUnavailable(f"{name}: could not be fetched: {'; '.join(_mirror_only(name) + problems)}. "
                          f"To get real data, {how(name)}.")


def _get(name, place, address, file):
    """Write `name` from a mirror or from the public source to `file`."""
    if isinstance(address, Path):
        shutil.copyfile(address, file)
    elif place == "mirror" or is_capture(name):
        _retrieve(address, file)
    else:
        entry, paths = registry()[name], []
        for number, part in enumerate(entry["upstream"]["files"]):
            paths.append(file.parent / str(number) / Path(part["path"]).name)
            _retrieve(f"{entry['upstream']['base']}/{part['path']}", paths[-1], part.get("sha256"))
        try:
            arrays = getattr(converters, entry["converter"])(paths)
        except (ValueError, LookupError, zipfile.BadZipFile, zlib.error) as problem:
            raise DataAltered(f"{name}: {entry['upstream']['base']} does not hold the expected files and is not "
                              f"used: {problem}") from problem
        np.savez_compressed(file, **arrays)


def _retrieve(url, path, sha256=None):
    import pooch

    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(progressbar=True, timeout=30)
    pooch.retrieve(url, known_hash=None, fname=path.name, path=path.parent, downloader=downloader)
    found = pooch.file_hash(path)
    if sha256 and found != sha256:
        raise DataAltered(f"{url} is not the registered file and is not used: expected sha256 {sha256}, found "
                          f"{found} ({path.stat().st_size} bytes)")
