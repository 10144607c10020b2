"""What a simulated scene is made of: room, walls, window, furniture, antenna arrays, people, objects.

Lengths in m, angles in rad, frequencies in Hz. csi_utils.sim.channel turns a scene into CSI and re-exports these names.
"""

from dataclasses import dataclass, field

import numpy as np

from .materials import MATERIALS, SPEED_OF_LIGHT, check_frequency, slab

FACES = ("x0", "x1", "y0", "y1", "floor", "ceiling")
# Intel 5300 reports 30 of the subcarriers. The 20 MHz set is not symmetric: its mean is 0.433.
SUBCARRIERS = {20e6: np.r_[-28:-1:2, -1, 1:28:2, 28], 40e6: np.arange(-58, 59, 4)}
SUBCARRIER_SPACING = 312.5e3  # Hz


def _finite(name, value, shape):
    """Return value as float64 of a shape (None = any length), or say what is wrong with it."""
    array = np.asarray(value, float)
    fits = array.ndim == len(shape) and all(s in (None, n) for s, n in zip(shape, array.shape, strict=True))
    if not fits or not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite numbers of shape {shape}, got {value!r}")
    return array


def _positive(name, value, unit):
    if not (np.ndim(value) == 0 and value > 0):
        raise ValueError(f"{name} must be a positive number ({unit}), got {value!r}")


def frequencies(fc=5.32e9, bandwidth=20e6):
    """Frequencies (Hz) of the 30 subcarriers that an Intel 5300 reports around fc at 20 or 40 MHz."""
    check_frequency(fc, "fc")
    if bandwidth not in SUBCARRIERS:
        raise ValueError(f"bandwidth must be 20e6 or 40e6 (Hz), got {bandwidth!r}")
    return fc + SUBCARRIER_SPACING * SUBCARRIERS[bandwidth]


@dataclass(frozen=True)
class Wall:
    """A face of the room: material (materials.MATERIALS) and thickness in m."""

    material: str = "concrete"
    thickness: float = 0.2

    def __post_init__(self):
        if self.material not in MATERIALS:
            raise ValueError(f"material must be one of {', '.join(MATERIALS)}; got {self.material!r}")
        _positive("thickness", self.thickness, "m")

    def reflection(self, cos_theta, f, polarization):
        return slab(self.material, self.thickness, cos_theta, f, polarization)[0]


@dataclass(frozen=True)
class Window:
    """A panel in a wall ("x0", "x1", "y0", "y1"). Open, the panel is air and reflects nothing.

    along: from, to (m) on the wall's horizontal axis; z: from, to (m) above the floor.
    """

    face: str
    along: tuple
    z: tuple = (0.9, 2.3)
    panel: Wall = Wall("glass", 0.006)
    open: bool = False

    def __post_init__(self):
        if self.face not in FACES[:4]:
            raise ValueError(f"face must be one of {', '.join(FACES[:4])}; got {self.face!r}")
        for name in ("along", "z"):
            low, high = _finite(name, getattr(self, name), (2,))
            if low >= high:
                raise ValueError(f"{name} must be (from, to) with from < to, got {getattr(self, name)!r}")


@dataclass(frozen=True)
class Scatterer:
    """A point that scatters equally in all directions and casts no shadow: furniture, or a moving limb.

    xyz: (3,) or one row a packet (n, 3), in m; rcs: radar cross-section in m^2.
    """

    xyz: np.ndarray
    rcs: float = 0.3

    def __post_init__(self):
        object.__setattr__(self, "xyz", _finite("xyz", np.atleast_2d(self.xyz), (None, 3)))
        _positive("rcs", self.rcs, "m^2")


@dataclass(frozen=True)
class Person:
    """A standing person: a round upright body of muscle.

    xy: its axis, (2,) or one row a packet (n, 2), in m; radius in m; height in m, one number (may be inf) or one a
    packet (n,).
    """

    xy: np.ndarray
    radius: float = 0.2
    height: float | np.ndarray = 1.7

    def __post_init__(self):
        object.__setattr__(self, "xy", _finite("xy", np.atleast_2d(self.xy), (None, 2)))
        _positive("radius", self.radius, "m")
        if not (np.ndim(self.height) <= 1 and (np.asarray(self.height, float) > 0).all()
                and np.size(self.height) in (1, len(self.xy))):
            raise ValueError(f"height must be positive (m), one number or one for each of {len(self.xy)} rows of xy, "
                             f"got {self.height!r}")

    @property
    def top(self):
        return np.atleast_1d(np.asarray(self.height, np.float32))

    @property
    def xyz(self):
        chest = np.minimum(0.65 * self.top, 1.2)
        return np.column_stack([self.xy, np.broadcast_to(chest, len(self.xy))])


@dataclass(frozen=True)
class Plate:
    """A flat upright strip of metal.

    xyz: its centre, (3,) or (n, 3), in m; width (horizontal) and height (vertical) in m; azimuth: direction of
    its normal in the floor plan, in rad.
    """

    xyz: np.ndarray
    width: float
    height: float
    azimuth: float = 0.0

    def __post_init__(self):
        object.__setattr__(self, "xyz", _finite("xyz", np.atleast_2d(self.xyz), (None, 3)))
        _finite("azimuth", self.azimuth, ())
        _positive("width", self.width, "m")
        _positive("height", self.height, "m")


@dataclass(frozen=True)
class Cylinder:
    """A round upright object, a bottle of water say.

    xyz: its centre, (3,) or (n, 3), in m; radius and height in m; material: of materials.MATERIALS.
    """

    xyz: np.ndarray
    radius: float
    height: float
    material: str = "water"

    def __post_init__(self):
        object.__setattr__(self, "xyz", _finite("xyz", np.atleast_2d(self.xyz), (None, 3)))
        _positive("radius", self.radius, "m")
        _positive("height", self.height, "m")
        if self.material not in MATERIALS:
            raise ValueError(f"material must be one of {', '.join(MATERIALS)}; got {self.material!r}")


@dataclass(frozen=True)
class Room:
    """A box with one corner at the origin. size: (x, y, z) in m; walls: face -> Wall; window: Window or None;
    furniture: Scatterers that stay where they are."""

    size: tuple = (7.0, 11.0, 3.0)
    walls: dict = field(default_factory=lambda: dict.fromkeys(FACES, Wall()))
    window: Window | None = None
    furniture: tuple = ()

    def __post_init__(self):
        for axis, side in zip("xyz", _finite("size", self.size, (3,)), strict=True):
            _positive(f"size along {axis}", side, "m")
        if set(self.walls) != set(FACES):
            raise ValueError(f"walls must name the faces {', '.join(FACES)}; got {', '.join(self.walls)}")
        for item in self.furniture:
            if item.xyz.shape != (1, 3):
                raise ValueError(f"furniture stands still: xyz must be one point, got shape {item.xyz.shape}")
            self.check_inside("furniture", item.xyz)

    def check_inside(self, name, points):
        """Raise ValueError unless all points (n, 2 or 3), in m, lie inside the room."""
        points = np.atleast_2d(points)
        size = np.asarray(self.size)[: points.shape[1]]
        bad = ((points <= 0) | (points >= size)).any(1)
        if bad.any():
            raise ValueError(f"{name} must lie inside the room of {tuple(map(float, self.size))} m, got "
                             f"{np.round(points[bad][0], 3).tolist()}")


@dataclass(frozen=True)
class Link:
    """Two antenna arrays. tx, rx: array centres (x, y, z) in m; spacing between antennas in m (half a
    wavelength at 5.32 GHz); the arrays lie horizontally, across the line from tx to rx."""

    tx: tuple
    rx: tuple
    n_tx: int = 1
    n_rx: int = 1
    spacing: float = SPEED_OF_LIGHT / 5.32e9 / 2

    def __post_init__(self):
        _positive("spacing", self.spacing, "m")
        for name in ("n_tx", "n_rx"):
            if getattr(self, name) not in (1, 2, 3):
                raise ValueError(f"{name} must be 1, 2 or 3, got {getattr(self, name)!r}")
        tx, rx = _finite("tx", self.tx, (3,)), _finite("rx", self.rx, (3,))
        if np.allclose(tx[:2], rx[:2]):
            raise ValueError(f"tx and rx must stand at different places of the floor plan, got {self.tx}, {self.rx}")

    def antennas(self):
        """Antenna positions in m: (n_tx, 3), (n_rx, 3)."""
        tx, rx = np.asarray(self.tx, float), np.asarray(self.rx, float)
        along = (rx - tx)[:2] / np.linalg.norm((rx - tx)[:2])
        across = np.array([-along[1], along[0], 0.0])

        def array(centre, n):
            return centre + self.spacing * (np.arange(n) - (n - 1) / 2)[:, None] * across

        return array(tx, self.n_tx), array(rx, self.n_rx)
