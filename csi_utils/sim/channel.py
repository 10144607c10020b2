"""The CSI simulator: what the air does to a signal between two antenna arrays in a room.

The image method gives every specular path up to an order, each face of the room a slab (physics card,
Eqs. 1-3). A person is a round upright body of muscle whose scattered field is exact in the floor plan (csi_utils.sim.
echoes): ahead it is the shadow, elsewhere the echo. On the straight way it counts everywhere; on a way over a wall or
a piece of furniture only near that way, as its shadow. Objects of metal and water scatter on the straight way. What
the radio then does to the channel is in csi_utils.sim.hardware.

Left out, on purpose: paths that scatter twice, or scatter far from a way and then bounce, shadows behind furniture,
antenna patterns (isotropic, vertical), and the change of a body's pattern over the band.
First explained in notebooks/01_svm_fingerprinting, section 3.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from . import echoes
from .materials import SPEED_OF_LIGHT, check_frequency
from .scene import (
    FACES,
    SUBCARRIER_SPACING,
    SUBCARRIERS,
    Cylinder,
    Link,
    Person,
    Plate,
    Room,
    Scatterer,
    Wall,
    Window,
    frequencies,
)

__all__ = ["FACES", "SUBCARRIERS", "SUBCARRIER_SPACING", "Cylinder", "Link", "Paths", "Person", "Plate", "Room",
           "Scatterer", "SPEED_OF_LIGHT", "Wall", "Window", "edge", "frequencies", "paths", "simulate", "strip"]

CHUNK = 256  # packets at a time: the work arrays of one chunk stay in the cache
NEAREST = 0.3  # m; a body's axis is not closer to an antenna than this
BESIDE = 0.6  # m; an object nearer to a person than this, and moving with them, is carried
SHADOW = (1.5, 3.0)  # wavelengths of detour: up to the first a body shadows a way, from the second on it only echoes


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
    it, in m, are affine in the body's (x, y): coefficients (rx, tx, 3) for [x, y, 1].
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
    return {"path": path, "offset": affine(across, 1.0), "along": affine(along, 1.0), "distance": distance,
            "plan": plan[..., 0], "z0": start[..., 2], "dz": vector[..., 2]}


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

    room: Room; link: Link; f: (K,) Hz; bodies: Person, Plate, Cylinder and Scatterer, whose positions hold one row
    or one row a packet. An object within BESIDE of a person and moving with them is carried: lit, and seen, by what
    the person's body leaves of the field. Returns complex64 csi[packet, subcarrier, rx, tx]: received over transmitted
    field for isotropic antennas, so |csi|^2 is the power gain. Without moving bodies there is one packet.
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
        if not isinstance(body, Person | Plate | Cylinder | Scatterer):
            raise TypeError(f"bodies must be Person, Plate, Cylinder or Scatterer, got {type(body).__name__}")
        room.check_inside(type(body).__name__, body.xyz if not isinstance(body, Person) else body.xy)

    gain, legs = list(empty.gain), list(empty.legs)
    size = np.asarray(room.size, float)
    pair = (len(rx), len(tx), 3)
    for item in room.furniture:  # a path more for each: two legs, which bodies cut as they cut the others
        point = np.broadcast_to(item.xyz[0], pair)
        for a, b in ((point, tx[None]), (rx[:, None], point)):
            a, b = np.broadcast_to(a, pair), np.broadcast_to(b, pair)
            legs.append(_leg(len(gain), a, b, np.zeros((*pair[:2], 2), int), size))
        gain.append(_Echo(item, (), tx, rx, f)(slice(1))[..., 0].transpose(2, 0, 1))
    # (rx*tx, path, K) and (leg, rx*tx): antenna pairs are looped over by the matrix product
    gain = np.array(gain).reshape(len(gain), len(f), -1).transpose(2, 0, 1).astype(np.complex64)
    shadows = _Shadows(legs, len(gain[0]), size[2], f.mean())
    people = [body for body in bodies if isinstance(body, Person)]
    echo_of = [_Echo(body, people, tx, rx, f) for body in bodies]
    straight = empty.gain[0].transpose(1, 2, 0)[..., None]  # (rx, tx, K, 1)

    out = np.empty((packets, len(f), *pair[:2]), np.complex64)
    for i in range(0, packets, CHUNK):
        rows = slice(i, min(i + CHUNK, packets))
        cut = shadows(people, rows)
        h = (cut @ gain).reshape(*pair[:2], -1, len(f)).transpose(2, 3, 0, 1)
        shadow = 1  # of several people one after the other on the straight way: their factors multiply
        for echo in echo_of:
            field = echo(rows)
            if len(people) > 1 and isinstance(echo.body, Person):
                near = echo.near(rows)
                shadow = shadow * (1 + near * field / straight)
                field = (1 - near) * field
            h = h + field.transpose(3, 2, 0, 1)
        if len(people) > 1:
            h = h + (straight * (shadow - 1)).transpose(3, 2, 0, 1)
        out[rows] = h
    return out


def _rows(array, rows):
    """The rows of a chunk; a single row serves every packet."""
    return array if len(array) == 1 else array[rows]


def _fade(detour):
    """1 near a way, 0 far from it, float32; detour over the body in wavelengths."""
    return np.clip((SHADOW[1] - detour) / (SHADOW[1] - SHADOW[0]), 0, 1).astype(np.float32)


class _Shadows:
    """Fraction of every path's field that people let through. The straight path is left whole: see _Echo."""

    def __init__(self, legs, n_paths, height, f):
        self.n_paths, self.f, self.wavelength = n_paths, float(f), np.float32(SPEED_OF_LIGHT / f)
        legs = [leg for leg in legs if leg["path"] > 0]
        self.path = np.array([leg["path"] for leg in legs], int)
        keys = ("offset", "along", "distance", "plan", "z0", "dz")
        stacked = {key: np.array([leg[key] for leg in legs]) for key in keys}
        self.pairs = stacked["distance"][0].size if legs else 1
        flat = {key: a.reshape(-1, *a.shape[3:]).astype(np.float32) for key, a in stacked.items()}
        self.affine = flat["offset"], flat["along"]
        self.distance, self.plan, self.z0, self.dz = (flat[key] for key in ("distance", "plan", "z0", "dz"))
        self.height = np.float32(height)
        # Legs of one path multiply: the k-th leg of every path at once.
        rank = np.array([np.sum(self.path[:i] == p) for i, p in enumerate(self.path)], int)
        self.rounds = [(self.path[rank == r], np.flatnonzero(rank == r)) for r in range(rank.max(initial=-1) + 1)]

    def __call__(self, people, rows):
        """(rx*tx, packets, path) complex64 for the given slice of packets."""
        n = max([1, *(len(_rows(person.xy, rows)) for person in people)])
        through = np.ones((self.n_paths, self.pairs, n), np.complex64)
        for person in people if len(self.path) else ():
            xy = _rows(person.xy, rows)
            left = self._left(person, xy, rows).reshape(-1, self.pairs, len(xy))
            for path, leg in self.rounds:
                through[path] *= left[leg]
        return through.transpose(1, 2, 0)

    def _left(self, person, xy, rows):
        at = np.column_stack([xy, np.ones(len(xy))]).T.astype(np.float32)
        offset, along = (affine @ at for affine in self.affine)
        plan = self.plan[:, None]
        from_start = np.hypot(offset, along)
        to_end = np.hypot(offset, plan - along)
        detour = np.sqrt((from_start + to_end) ** 2 + self.dz[:, None] ** 2) - self.distance[:, None]
        near = np.flatnonzero(detour < SHADOW[1] * self.wavelength)
        leg, packet = np.divmod(near, len(xy))

        detour, offset, along = detour.ravel()[near], offset.ravel()[near], along.ravel()[near]
        from_start, to_end = (np.maximum(a.ravel()[near], np.float32(NEAREST)) for a in (from_start, to_end))
        distance, plan = self.distance[leg], self.plan[leg]
        angle = np.arctan2(offset, along) + np.arctan2(offset, plan - along)
        curvature = 1 / from_start + 1 / to_end
        body = echoes.pattern("muscle", person.radius, self.f)
        field = body(angle, curvature)
        ray = self.z0[leg] + self.dz[leg] * from_start / (from_start + to_end)
        ray -= 2 * self.height * np.rint(ray / (2 * self.height))  # folded back into the room
        cosine = plan / distance
        scale = cosine * np.sqrt(2 / self.wavelength * cosine * curvature)
        field *= 1 - _edge_fast((_rows(person.top, rows)[packet if len(person.top) > 1 else 0] - np.abs(ray)) * scale)
        field *= np.sqrt(curvature) * distance / (distance + detour) * _fade(detour / self.wavelength)
        field *= np.complex64(echoes.line_factor(body.k)) * np.exp(-1j * np.float32(body.k) * detour)
        left = np.ones(len(self.plan) * len(xy), np.complex64)
        left[near] += field
        return left


class _Echo:
    """Field that a body scatters from every tx to every rx on the straight way.

    body: Person, Plate, Cylinder or Scatterer; people: who may carry it; tx, rx: antennas (n_tx, 3), (n_rx, 3), m;
    f: (K,) Hz. Called with a slice of packets, returns (rx, tx, K, n) complex64.
    """

    def __init__(self, body, people, tx, rx, f):
        self.body, self.tx, self.rx, self.f, middle = body, tx, rx, f, float(f.mean())
        self.k = 2 * np.pi * middle / SPEED_OF_LIGHT
        if isinstance(body, Person):
            self.pattern = echoes.pattern("muscle", body.radius, middle)
        elif not isinstance(body, Scatterer):
            if isinstance(body, Plate):
                thing = echoes.Strip(body.width, body.azimuth, middle)
            else:
                thing = echoes.Rod(body.material, body.radius, middle)
            person, offset = _carried_by(body, people)
            holder = person and echoes.pattern("muscle", person.radius, middle)
            self.thing = echoes.Beside(thing, self.k, offset, holder)

    def __call__(self, rows):
        xyz = _rows(self.body.xyz, rows)
        if isinstance(self.body, Scatterer):
            area = np.float32(-np.sqrt(self.body.rcs))  # a conductor's echo is turned by pi
        else:
            xyz, area = self._upright(xyz, rows)
        wave = []
        for antennas in (self.rx, self.tx):
            distance = np.maximum(np.linalg.norm(antennas[:, None] - xyz, axis=-1), NEAREST)
            cycles = distance[:, None] * (self.f / SPEED_OF_LIGHT)[:, None]  # float64: thousands of turns
            cycles -= np.rint(cycles)
            angle = (-2 * np.pi * cycles).astype(np.float32)
            turned = np.empty(angle.shape, np.complex64)
            np.cos(angle, out=turned.real)
            np.sin(angle, out=turned.imag)
            turned /= distance[:, None].astype(np.float32)
            wave.append(turned)
        wave[0] *= (SPEED_OF_LIGHT / self.f / (4 * np.pi) ** 1.5)[:, None].astype(np.float32)
        return (wave[0][:, None] * wave[1][None]) * area

    def near(self, rows):
        """How much of a person's echo is a shadow on the straight way, (rx, tx, 1, n): 1 on it, 0 far off."""
        xy = _rows(self.body.xy, rows)
        to_rx, to_tx = (np.linalg.norm(antennas[:, None, :2] - xy, axis=-1) for antennas in (self.rx, self.tx))
        rise = self.rx[0, 2] - self.tx[0, 2]
        direct = np.linalg.norm(self.rx[:, None] - self.tx, axis=-1)[..., None]
        return _fade((np.hypot(to_rx[:, None] + to_tx, rise) - direct) * self.k / (2 * np.pi))[:, :, None]

    def _upright(self, xyz, rows):
        """Where the echo leaves the body, (n, 3), and the root of its radar cross-section, complex (rx, tx, 1, n)."""
        to_rx, to_tx = (antennas[:, None, :2] - xyz[:, :2] for antennas in (self.rx, self.tx))
        plan_rx, plan_tx = (np.maximum(np.linalg.norm(to, axis=-1), NEAREST) for to in (to_rx, to_tx))
        # in the vertical plane the wave goes straight on: the height at which it meets the body
        rise, share = self.rx[0, 2] - self.tx[0, 2], plan_tx.mean(0) / (plan_tx.mean(0) + plan_rx.mean(0))
        z = self.tx[0, 2] + rise * share
        curvature = 1 / plan_rx[:, None] + 1 / plan_tx[None]
        if isinstance(self.body, Person):
            angle = (np.arctan2(to_rx[..., 1], to_rx[..., 0])[:, None]
                     - np.arctan2(-to_tx[..., 1], -to_tx[..., 0])[None])
            angle -= 2 * np.pi * np.rint(angle / (2 * np.pi))
            field = self.pattern(angle, curvature)
            bottom, top = -np.inf, _rows(self.body.top, rows)
        else:
            field = self.thing(to_rx, to_tx)
            bottom, top = xyz[:, 2] - self.body.height / 2, xyz[:, 2] + self.body.height / 2
        r_rx, r_tx = np.hypot(plan_rx, self.rx[:1, 2:] - z), np.hypot(plan_tx, self.tx[:1, 2:] - z)
        length = r_rx[:, None] + r_tx[None]
        cosine = (plan_rx[:, None] + plan_tx[None]) / length
        scale = cosine * np.sqrt(self.k / np.pi * cosine * curvature)
        field = field * (edge((bottom - z) * scale) - edge((top - z) * scale))
        field *= r_rx[:, None] * r_tx[None] / length * np.sqrt(4 * np.pi * curvature) * echoes.line_factor(self.k)
        return np.column_stack([xyz[:, :2], z]), field[:, :, None].astype(np.complex64)


def _carried_by(thing, people):
    """The Person who carries an object and its offset (2,) in m from their axis, or None and zeros."""
    for person in people:
        offset = thing.xyz[:, :2] - person.xy
        if np.ptp(offset, axis=0).max() < 1e-6 and np.linalg.norm(offset[0]) < BESIDE:
            reach = thing.width / 2 if isinstance(thing, Plate) else thing.radius
            if np.linalg.norm(offset[0]) < person.radius:
                raise ValueError(f"{type(thing).__name__} must lie outside the person of radius {person.radius} m, got "
                                 f"{np.linalg.norm(offset[0]):.3f} m from the axis (it reaches {reach} m to its sides)")
            return person, offset[0]
    return None, (0.0, 0.0)
