"""The CSI simulator: what the air does to a signal between two antenna arrays in a room.

The image method gives every specular path up to an order, each face of the room a slab (physics card,
Eqs. 1-3). People and objects cut those paths (complex Fresnel diffraction, Eq. 7) and scatter (radar
equation, Eq. 8). What the radio then does to the channel is in csi_utils.sim.hardware.

Left out, on purpose: paths that scatter twice or scatter and then bounce, shadows behind furniture,
antenna patterns (isotropic, vertical), and the change of the diffraction factor over the band (0.01 dB).
First explained in notebooks/01_svm_fingerprinting, section 3.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from .materials import SPEED_OF_LIGHT, check_frequency, half_space, permittivity
from .scene import (
    FACES,
    SUBCARRIER_SPACING,
    SUBCARRIERS,
    Link,
    Person,
    Plate,
    Room,
    Scatterer,
    Wall,
    Window,
    frequencies,
)

__all__ = ["FACES", "SUBCARRIERS", "SUBCARRIER_SPACING", "Link", "Paths", "Person", "Plate", "Room", "Scatterer",
           "SPEED_OF_LIGHT", "Wall", "Window", "edge", "frequencies", "paths", "scatter", "simulate",
           "strip"]

CHUNK = 256  # packets at a time: the work arrays of one chunk stay in the cache
NEAREST = 0.3  # m; a body is not closer to an antenna than its own radius


def edge(v):
    """Field behind an absorbing half plane over the free field, complex, at clearance v (Eq. 7).

    v > 0: the straight path is blocked; v = 0: half the field, -6.02 dB; v -> -inf: 1.
    """
    from scipy.special import fresnel

    s, c = fresnel(v)
    return (1 + 1j) / 2 * ((0.5 - c) - 1j * (0.5 - s))


def strip(v_left, v_right):
    """Field behind an absorbing strip from v_left to v_right over the free field, complex (Eq. 7)."""
    return 1 - (edge(v_left) - edge(v_right))


_REACH, _STEPS = 40, 256  # the table covers |v| <= 40, linear between steps of 1/256: error below 2e-4


@cache
def _edge_table():
    table = edge(np.arange(-_REACH * _STEPS, _REACH * _STEPS + 1) / _STEPS).astype(np.complex64)
    table[0], table[-1] = 1, 0  # beyond the table: the path is free, or fully blocked
    return table, np.diff(table, append=0).astype(np.complex64)


def _edge_fast(v):
    """edge(v) by table, for float32 arrays; v is overwritten."""
    table, slope = _edge_table()
    v *= _STEPS
    v += _REACH * _STEPS
    np.clip(v, 0, 2 * _REACH * _STEPS, out=v)
    i = v.astype(np.int32)
    v -= i
    out = slope.take(i)
    out *= v
    out += table.take(i)
    return out


@dataclass(frozen=True)
class Paths:
    """The specular paths of an empty room. P paths, K subcarriers.

    delay: (P, rx, tx) in s; gain: (P, K, rx, tx) complex, Eq. (1) of the physics card, propagation phase
    included; bounces: (P, 6) hits on each of FACES; corners: P polylines (points, 3) in m, first antennas.
    """

    delay: np.ndarray
    gain: np.ndarray
    bounces: np.ndarray
    corners: list
    legs: tuple  # what simulate needs to cut the paths; see _leg


def _image_cells(order):
    """Cells (P, 3) of the image of the transmitter in the grid of mirrored rooms, nearest first: 25 at order 2."""
    grid = np.stack(np.meshgrid(*[np.arange(-order, order + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    hops = np.abs(grid).sum(1)
    return grid[hops <= order][np.argsort(hops[hops <= order], kind="stable")]


def _mirror(cell, length):
    """Sign and offset that carry a coordinate of the room into a mirrored cell: sign * x + offset."""
    odd = cell % 2
    return 1 - 2 * odd, (cell + odd) * length


def _crossings(cell):
    """Planes between cell 0 and a cell, as multiples of the room's length, in the order they are met."""
    return range(1, cell + 1) if cell > 0 else range(0, cell, -1)


def _leg(path, start, end, cell, size):
    """A straight piece of a path, as needed to find what a body in a mirrored cell of the plan does to it.

    start, end: (rx, tx, 3); the rows are broadcast over antenna pairs. Offset from the line and position along
    it are affine in the body's (x, y): coefficients (rx, tx, 3) for [x, y, 1].
    """
    vector = end - start
    plan = np.linalg.norm(vector[..., :2], axis=-1, keepdims=True)
    along = vector[..., :2] / plan
    across = np.stack([-along[..., 1], along[..., 0]], -1)
    sign, shift = np.stack([_mirror(cell[..., axis], size[axis]) for axis in (0, 1)], -1)
    from_start = shift - start[..., :2]

    def affine(direction, scale):
        return np.concatenate([direction * sign, (direction * from_start).sum(-1, keepdims=True)], -1) / scale

    distance = np.linalg.norm(vector, axis=-1)
    return {"path": path, "offset": affine(across, 1.0), "place": affine(along, plan), "distance": distance,
            "cos": plan[..., 0] / distance, "z0": start[..., 2], "dz": vector[..., 2], "across": across * sign}


def paths(room, link, f, order=2):
    """All specular paths of a link in an empty room, by the image method.

    f: (K,) in Hz; order: most reflections a path may have (0 is free space). Returns Paths; at order 2 there
    are 25. Raises ValueError for antennas outside the room, a frequency that is not positive, a negative order.
    """
    f = np.atleast_1d(check_frequency(f))
    if not (isinstance(order, int | np.integer) and order >= 0):
        raise ValueError(f"order must be an integer >= 0, got {order!r}")
    size = np.asarray(room.size, float)
    tx, rx = link.antennas()
    room.check_inside("link.tx", tx)
    room.check_inside("link.rx", rx)
    rx = np.broadcast_to(rx[:, None], (len(rx), len(tx), 3))
    delays, gains, bounces, corners, legs = [], [], [], [], []
    for p, cell in enumerate(_image_cells(order)):
        sign, shift = _mirror(cell, size)
        image = np.broadcast_to(sign * tx + shift, rx.shape)
        vector = image - rx
        distance = np.linalg.norm(vector, axis=-1)
        gain = (SPEED_OF_LIGHT / f / (4 * np.pi))[:, None, None] / distance
        hits, bends, splits = np.zeros(6, int), [0.0, 1.0], [np.zeros_like(distance), np.ones_like(distance)]
        for axis in range(3):
            cosine = np.abs(vector[..., axis]) / distance
            for plane in _crossings(cell[axis]):
                t = (plane * size[axis] - rx[..., axis]) / vector[..., axis]
                face = 2 * axis + plane % 2
                gain = gain * _reflect(room, face, rx + t[..., None] * vector, cosine, f)
                hits[face] += 1
                bends.append(t[0, 0])
                if axis < 2:
                    splits.append(t)
        splits = np.sort(splits, axis=0)
        middles = rx + ((splits[1:] + splits[:-1]) / 2)[..., None] * vector
        for middle in middles:  # the plan-view cells that the unfolded path runs through
            legs.append(_leg(p, rx, image, np.floor(middle[..., :2] / size[:2]).astype(int), size))
        corners.append(_fold(rx[0, 0] + np.sort(bends)[::-1, None] * vector[0, 0], size))
        delays.append(distance / SPEED_OF_LIGHT)
        gains.append(gain * np.exp(-2j * np.pi * f[:, None, None] * delays[-1]))
        bounces.append(hits)
    return Paths(np.array(delays), np.array(gains), np.array(bounces), corners, tuple(legs))


def _fold(points, size):
    """Carry unfolded points back into the room."""
    return np.abs(points - 2 * size * np.rint(points / (2 * size)))


def _reflect(room, face, points, cosine, f):
    """Reflection coefficients (K, rx, tx) at unfolded points of a face; the window's panel counts where hit."""
    polarization = "TM" if face >= 4 else "TE"  # vertical antennas: walls see TE, floor and ceiling TM
    wall = room.walls[FACES[face]].reflection(cosine, f[:, None, None], polarization)
    window = room.window
    if window is None or window.face != FACES[face]:
        return wall
    panel = 0.0 if window.open else window.panel.reflection(cosine, f[:, None, None], polarization)
    points = _fold(points, np.asarray(room.size))
    along, z = points[..., 1 - face // 2], points[..., 2]
    hit = (along >= window.along[0]) & (along <= window.along[1]) & (z >= window.z[0]) & (z <= window.z[1])
    return np.where(hit, panel, wall)


def simulate(room, link, f, bodies=(), order=2):
    """Channel of a link in a room with people and objects in it.

    room: Room; link: Link; f: (K,) Hz; bodies: Person, Plate and Scatterer, whose positions hold one row or one
    row a packet. Returns complex64 csi[packet, subcarrier, rx, tx]: received over transmitted field for isotropic
    antennas, so |csi|^2 is the power gain. Without moving bodies there is one packet.
    Raises ValueError for bodies outside the room and for row counts that do not match; TypeError for other bodies.
    """
    f = np.atleast_1d(check_frequency(f))
    empty = paths(room, link, f, order)
    tx, rx = link.antennas()
    counts = {len(body.xyz) for body in bodies} - {1}
    if len(counts) > 1:
        raise ValueError(f"bodies must hold one row or the same number of rows each, got {sorted(counts)} rows")
    packets = counts.pop() if counts else 1
    for body in bodies:
        if not isinstance(body, Person | Plate | Scatterer):
            raise TypeError(f"bodies must be Person, Plate or Scatterer, got {type(body).__name__}")
        room.check_inside(type(body).__name__, body.xyz if not isinstance(body, Person) else body.xy)

    gain, legs = list(empty.gain), list(empty.legs)
    size = np.asarray(room.size, float)
    pair = (len(rx), len(tx), 3)
    for item in room.furniture:  # a path more for each: two legs, which bodies cut as they cut the others
        point = np.broadcast_to(item.xyz[0], pair)
        for a, b in ((point, tx[None]), (rx[:, None], point)):
            a, b = np.broadcast_to(a, pair), np.broadcast_to(b, pair)
            legs.append(_leg(len(gain), a, b, np.zeros((*pair[:2], 2), int), size))
        gain.append(scatter(item, item.xyz, tx, rx, f)[..., 0].transpose(2, 0, 1))
    # (rx*tx, path, K) and (leg, rx*tx): antenna pairs are looped over by the matrix product
    gain = np.array(gain).reshape(len(gain), len(f), -1).transpose(2, 0, 1).astype(np.complex64)
    cutter = _Cutter(legs, len(gain[0]), size[2], SPEED_OF_LIGHT / f.mean())
    screens = [body for body in bodies if not isinstance(body, Scatterer)]

    out = np.empty((packets, len(f), *pair[:2]), np.complex64)
    for i in range(0, packets, CHUNK):
        rows = slice(i, min(i + CHUNK, packets))
        cut = cutter(screens, rows)
        h = (cut @ gain).reshape(*pair[:2], -1, len(f)).transpose(2, 3, 0, 1)
        for body in bodies:
            xyz = body.xyz if len(body.xyz) == 1 else body.xyz[rows]
            h = h + scatter(body, xyz, tx, rx, f).transpose(3, 2, 0, 1)
        out[rows] = h
    return out


class _Cutter:
    """Fraction of every path's field that bodies let through: exactly 1 - (horizontal) (vertical) blocked field."""

    def __init__(self, legs, n_paths, height, wavelength):
        self.n_paths, self.height = n_paths, np.float32(height)
        stacked = {key: np.array([leg[key] for leg in legs]) for key in legs[0] if key != "path"}
        self.pairs = stacked["distance"][0].size
        flat = {key: a.reshape(-1, *a.shape[3:]).astype(np.float32) for key, a in stacked.items()}
        self.offset, self.place, self.across = flat["offset"], flat["place"], flat["across"]
        self.cos, self.z0, self.dz = (flat[key][:, None] for key in ("cos", "z0", "dz"))
        self.scale = np.sqrt(2 / (wavelength * flat["distance"]))[:, None].astype(np.float32)
        # Legs of one path multiply: the k-th leg of every path at once.
        path = np.array([leg["path"] for leg in legs])
        rank = np.array([np.sum(path[:i] == p) for i, p in enumerate(path)])
        self.rounds = [(path[rank == r], np.flatnonzero(rank == r)) for r in range(rank.max() + 1)]

    def __call__(self, bodies, rows):
        """(rx*tx, packets, path) complex64 for the given slice of packets."""
        n = max([1, *(len(body.xy[rows]) for body in bodies if len(body.xy) > 1)])
        through = np.ones((self.n_paths, self.pairs, n), np.complex64)
        for body in bodies:
            xy = body.xy if len(body.xy) == 1 else body.xy[rows]
            left = 1 - self._blocked(body, xy, rows)
            left = left.reshape(-1, self.pairs, len(xy))
            for path, leg in self.rounds:
                through[path] *= left[leg]
        return through.transpose(1, 2, 0)

    def _blocked(self, body, xy, rows):
        plan = np.column_stack([xy, np.ones(len(xy))]).T.astype(np.float32)
        place = self.place @ plan
        aside = (place <= 1e-6) | (place >= 1 - 1e-6)  # the body stands before the start or behind the end
        scale = place * (1 - place)
        scale[aside] = 1
        scale = self.scale / np.sqrt(scale)
        offset = self.offset @ plan
        offset *= scale
        half = self._half_width(body) * scale
        blocked = _edge_fast(offset - half) - _edge_fast(offset + half)
        place *= self.dz
        place += self.z0  # height of the ray, folded back into the room
        place -= 2 * self.height * np.rint(place / (2 * self.height))
        ray = np.abs(place, out=place)
        scale *= self.cos
        if isinstance(body, Person):
            blocked *= 1 - _edge_fast((np.float32(body.height) - ray) * scale)
        else:
            z = (body.xyz if len(body.xyz) == 1 else body.xyz[rows])[:, 2].astype(np.float32)
            half_height = np.float32(body.height / 2)
            blocked *= _edge_fast((z - half_height - ray) * scale) - _edge_fast((z + half_height - ray) * scale)
        blocked[aside] = 0
        return blocked

    def _half_width(self, body):
        if isinstance(body, Person):
            return np.float32(body.width / 2)
        # A plate shows the width of its shadow across the path, at least a millimetre.
        edge_on = np.array([-np.sin(body.azimuth), np.cos(body.azimuth)], np.float32)
        return np.maximum(body.width * np.abs(self.across @ edge_on), 1e-3)[:, None].astype(np.float32) / 2


def scatter(body, xyz, tx, rx, f):
    """Field that a body scatters from every tx to every rx, (rx, tx, K, n) complex64 (Eq. 8 of the physics card).

    body: Person, Plate or Scatterer; xyz: (n, 3) where it is, m; tx, rx: antennas (n_tx, 3), (n_rx, 3), m; f: (K,) Hz.
    """
    out = []
    for antennas in (rx, tx):
        distance = np.maximum(np.linalg.norm(antennas[:, None] - xyz, axis=-1), NEAREST)
        cycles = distance[:, None] * (f / SPEED_OF_LIGHT)[:, None]  # float64: thousands of turns
        cycles -= np.rint(cycles)
        angle = (-2 * np.pi * cycles).astype(np.float32)
        wave = np.empty(angle.shape, np.complex64)
        np.cos(angle, out=wave.real)
        np.sin(angle, out=wave.imag)
        wave /= distance[:, None].astype(np.float32)
        out.append(wave)
    wavelength = (SPEED_OF_LIGHT / f)[:, None].astype(np.float32)
    if isinstance(body, Plate):
        area = _plate_amplitude(body, xyz, tx, rx, SPEED_OF_LIGHT / f.mean())[:, :, None]
    else:
        area = np.float32(np.sqrt(body.rcs))
    out[0] *= wavelength / np.float32((4 * np.pi) ** 1.5)
    return (out[0][:, None] * out[1][None]) * area


def _plate_amplitude(plate, xyz, tx, rx, wavelength):
    """Square root of a plate's bistatic radar cross-section (rx, tx, n), complex: physical optics.

    Reduces to Eq. (8) for rx = tx. Close to the plate the far-field formula exceeds a mirror; it is then cut to
    what an infinite mirror of the material would return.
    """
    normal = np.array([np.cos(plate.azimuth), np.sin(plate.azimuth), 0.0])
    along = np.array([-normal[1], normal[0], 0.0])
    to_tx, to_rx = (antennas[:, None] - xyz for antennas in (tx, rx))
    d_tx, d_rx = (np.maximum(np.linalg.norm(v, axis=-1), NEAREST) for v in (to_tx, to_rx))
    u_tx, u_rx = to_tx / d_tx[..., None], to_rx / d_rx[..., None]

    def both(axis):
        return (u_rx @ axis)[:, None] + (u_tx @ axis)[None]

    area = plate.width * plate.height
    size = np.sqrt(4 * np.pi) * area / wavelength * np.abs(both(normal)) / 2
    size = size * np.sinc(plate.width / wavelength * both(along))
    size = size * np.sinc(plate.height / wavelength * both(np.array([0.0, 0.0, 1.0])))
    mirror = np.sqrt(4 * np.pi) / (1 / d_rx[:, None] + 1 / d_tx[None])
    size = np.clip(size, -mirror, mirror)
    same_side = (u_rx @ normal)[:, None] * (u_tx @ normal)[None] > 0
    r0 = half_space(permittivity(plate.material, SPEED_OF_LIGHT / wavelength), 1.0, "TE")
    return (size * same_side * r0).astype(np.complex64)
