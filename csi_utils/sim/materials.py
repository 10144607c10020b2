"""Electrical properties of walls, tissue and water, and what a flat surface of them reflects.

Convention, everywhere in csi_utils: time factor exp(+j w t), so lossy media have eps = eps' - j eps''
and a longer path has a more negative phase. Angles are measured from the surface normal.
"""

import numpy as np

SPEED_OF_LIGHT = 299792458.0  # m/s
EPS0 = 8.8541878128e-12  # F/m

# ITU-R P.2040: eps' = a f^b, sigma = c f^d, with f in GHz (a, b, c, d).
P2040 = {
    "concrete": (5.24, 0, 0.0462, 0.7822),
    "brick": (3.91, 0, 0.0238, 0.16),
    "plasterboard": (2.73, 0, 0.0085, 0.9395),
    "wood": (1.99, 0, 0.0047, 1.0718),
    "glass": (6.31, 0, 0.0036, 1.3394),
    "ceiling board": (1.48, 0, 0.0011, 1.0750),
    "chipboard": (2.58, 0, 0.0217, 0.78),
    "plywood": (2.71, 0, 0.33, 0),
    "marble": (7.074, 0, 0.0055, 0.9262),
    "metal": (1, 0, 1e7, 0),
}

# Gabriel 1996, four Cole-Cole terms: eps_inf, sigma (S/m), then (delta, tau in s, alpha).
TISSUE = {
    "muscle": (4, 0.2, ((50, 7.234e-12, 0.1), (7000, 353.678e-9, 0.1), (1.2e6, 318.31e-6, 0.1),
                        (2.5e7, 2.274e-3, 0))),
    "skin dry": (4, 0, ((32, 7.234e-12, 0), (1100, 32.481e-9, 0.2))),
    "skin wet": (4, 0, ((39, 7.958e-12, 0.1), (280, 79.577e-9, 0), (3e4, 1.592e-6, 0.16),
                        (3e4, 1.592e-3, 0.2))),
    "fat": (2.5, 0.01, ((3, 7.958e-12, 0.2), (15, 15.915e-9, 0.1), (3.3e4, 159.155e-6, 0.05),
                        (1e7, 7.958e-3, 0.01))),
    "blood": (4, 0.7, ((56, 8.377e-12, 0.1), (5200, 132.629e-9, 0.1))),
    "cortical bone": (2.5, 0.02, ((10, 13.263e-12, 0.2), (180, 79.577e-9, 0.2), (5e3, 159.155e-6, 0.2),
                                  (1e5, 15.915e-3, 0))),
}

# Ellison 2007, first three Debye terms (the resonances are negligible below 10 GHz): a, b, c, d.
_WATER = ((79.23882, 0.004300598, 1.382264e-13, 652.7648), (3.815866, 0.01117295, 3.510354e-16, 1249.533),
          (1.634967, 0.006841548, 6.30035e-15, 405.5169))

MATERIALS = ("air", "water", *P2040, *TISSUE)


def check_frequency(f, name="f"):
    """Return f as a float64 array; raise ValueError unless every entry is finite and above 0 Hz."""
    f = np.asarray(f, float)
    if not (np.isfinite(f).all() and (f > 0).all()):
        raise ValueError(f"{name} must hold positive, finite frequencies in Hz, got {f}")
    return f


def permittivity(material, f, celsius=25.0):
    """Relative complex permittivity eps' - j eps'' of a material.

    material: one of MATERIALS; f: frequency in Hz, any shape; celsius: temperature, used for water only.
    Returns complex128 of the shape of f. Sources: ITU-R P.2040 (building materials), Gabriel 1996 (tissue),
    Ellison 2007 (water). Raises ValueError for an unknown material or a frequency that is not positive.
    """
    f = check_frequency(f)
    if material == "air":
        return np.ones(f.shape, complex)
    if material in P2040:
        a, b, c, d = P2040[material]
        ghz = f / 1e9
        return a * ghz**b - 1j * c * ghz**d / (2 * np.pi * f * EPS0)
    w = 2 * np.pi * f
    if material in TISSUE:
        eps_inf, sigma, terms = TISSUE[material]
        poles = sum(delta / (1 + (1j * w * tau) ** (1 - alpha)) for delta, tau, alpha in terms)
        return eps_inf + poles + sigma / (1j * w * EPS0)
    if material == "water":
        t = celsius
        static = 87.9144 - 0.404399 * t - 9.58726e-4 * t**2 - 1.32802e-6 * t**3
        taus = ((a * np.exp(-b * t), c * np.exp(d / (t + 133.1383))) for a, b, c, d in _WATER)
        return static - sum(delta * 1j * w * tau / (1 + 1j * w * tau) for delta, tau in taus)
    raise ValueError(f"material must be one of {', '.join(MATERIALS)}; got {material!r}")


def half_space(eps, cos_theta, polarization):
    """Fresnel reflection coefficient of a half space (ITU-R P.2040; physics card Eq. 2).

    eps: relative permittivity; cos_theta: cosine of the angle of incidence; polarization "TE" or "TM".
    The arrays broadcast. At normal incidence r_TM = -r_TE, by the choice of the field basis.
    """
    if polarization not in ("TE", "TM"):
        raise ValueError(f"polarization must be 'TE' or 'TM', got {polarization!r}")
    cos_theta = np.asarray(cos_theta, float)
    root = np.sqrt(eps - (1 - cos_theta**2))
    front = cos_theta if polarization == "TE" else eps * cos_theta
    return (front - root) / (front + root)


def slab(material, thickness, cos_theta, f, polarization):
    """Reflection and transmission coefficients (R, T) of a slab in air (physics card Eq. 3).

    thickness in m; cos_theta and f (Hz) broadcast against each other. An infinitely thick slab is the half
    space: T = 0. Raises ValueError for a thickness that is not positive.
    """
    if not thickness > 0:
        raise ValueError(f"thickness must be positive (m), got {thickness}")
    f = check_frequency(f)
    eps = permittivity(material, f)
    r = half_space(eps, cos_theta, polarization)
    if np.isinf(thickness) or material == "metal":
        return r, np.zeros_like(r)
    q = 2 * np.pi * thickness * f / SPEED_OF_LIGHT * np.sqrt(eps - (1 - np.asarray(cos_theta, float) ** 2))
    turn = np.exp(-2j * q)
    return r * (1 - turn) / (1 - r**2 * turn), (1 - r**2) * np.exp(-1j * q) / (1 - r**2 * turn)


def attenuation(material, f):
    """Attenuation of a plane wave inside a material, in dB per metre."""
    k = 2 * np.pi * check_frequency(f) / SPEED_OF_LIGHT * np.sqrt(permittivity(material, f))
    return -20 / np.log(10) * k.imag
