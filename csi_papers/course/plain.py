"""Values as plain data: what passes between the grader and a student's process. Nothing in it is code.

Numbers, strings, None, lists, tuples, dicts, NumPy arrays and scalars, torch tensors, and a `Generator` of NumPy
(in its present state). JSON, arrays as base64 of their bytes, with dtype and shape.
"""

import base64
import math
import re

import numpy as np

from csi_utils import exercises

DTYPE = re.compile(r"[<>|=]([bifcuU])\d+")


class NotPlain(TypeError):
    """A value of a type that cannot be sent, or data that are no value."""


def encode(value):
    """A value in what JSON knows. Raises NotPlain."""
    if value is exercises.TODO or value is Ellipsis:
        return {"todo": True}
    if isinstance(value, np.ndarray | np.generic | complex):
        value = np.asarray(value)
        if not DTYPE.fullmatch(value.dtype.str):
            raise NotPlain(f"an array of dtype {value.dtype}")
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {"array": [value.dtype.str, list(value.shape), data]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return {"list" if isinstance(value, list) else "tuple": [encode(item) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
    if isinstance(value, np.random.Generator) and isinstance(value.bit_generator, np.random.PCG64):
        return {"generator": value.bit_generator.state}
    if hasattr(value, "detach"):
        return {"tensor": encode(value.detach().cpu().numpy())}
    raise NotPlain(f"a {type(value).__name__}")


def decode(data):
    """The value again. Raises NotPlain for what `encode` does not make, whoever made it."""
    if data is None or isinstance(data, bool | int | float | str):
        return data
    try:
        [(kind, what)] = data.items()
        return KINDS[kind](what)
    except Exception as err:  # whatever a student's process may send
        raise NotPlain(f"no value ({type(err).__name__})") from None


def _array(parts):
    dtype, shape, data = parts
    data = base64.b64decode(data, validate=True)
    kind, dtype = DTYPE.fullmatch(dtype)[1], np.dtype(dtype)
    if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError("shape")
    found = np.frombuffer(data, dtype).reshape(shape).copy()
    if kind == "b":  # a byte of 2 is equal to nothing and to everything
        found = found.view(np.uint8) != 0
    return found if shape else found[()]


def _generator(state):
    generator = np.random.default_rng()
    generator.bit_generator.state = state
    return generator


def _tensor(data):
    import torch
    return torch.as_tensor(decode(data))


KINDS = {"todo": lambda what: exercises.TODO, "array": _array, "list": lambda items: [decode(item) for item in items],
         "tuple": lambda items: tuple(decode(item) for item in items),
         "dict": lambda pairs: {decode(key): decode(item) for key, item in pairs},
         "generator": _generator, "tensor": _tensor}
