"""Round bodies and strips against exact solutions that are written down here once more, by other means."""

import numpy as np
import pytest
from scipy.special import h2vp, hankel2, jv, jvp

from csi_utils.sim import echoes
from csi_utils.sim.materials import SPEED_OF_LIGHT, permittivity

LOW, HIGH = 2.437e9, 5.32e9


def db(x):
    return 20 * np.log10(np.abs(x))


def wave_number(f):
    return 2 * np.pi * f / SPEED_OF_LIGHT


def by_boundary(eps, radius, f, orders=40):
    """Coefficients from the continuity of the field and of its slope at the surface: two equations an order.

    Balanis, Advanced Engineering Electromagnetics, section 11.5 (a dielectric cylinder, TM)."""
    k, found = wave_number(f), []
    inside = k * np.sqrt(eps)
    for n in range(orders):
        equations = [[hankel2(n, k * radius), -jv(n, inside * radius)],
                     [k * h2vp(n, k * radius), -inside * jvp(n, inside * radius)]]
        found.append(np.linalg.solve(equations, [-jv(n, k * radius), -k * jvp(n, k * radius)])[0])
    return np.array(found)


def by_line_source(coefficients, k, r1, r2, angle):
    """The series itself, with Hankel functions of the true distances; angle between the antennas as the axis sees
    them. Harrington, Time-Harmonic Electromagnetic Fields, section 5-9."""
    n = np.arange(len(coefficients))
    waves = hankel2(n, k * np.asarray(r1)[..., None]) * hankel2(n, k * np.asarray(r2)[..., None])
    twice = np.where(n == 0, 1, 2)
    return (twice * coefficients * waves * np.cos(n * np.asarray(angle)[..., None])).sum(-1)


@pytest.mark.parametrize(("material", "radius", "f"), [
    ("muscle", 0.2, LOW), ("muscle", 0.2, HIGH), ("muscle", 0.24, HIGH), ("water", 0.035, HIGH), ("wood", 0.05, LOW)])
def test_the_series_meets_the_boundary_conditions(material, radius, f):
    found = echoes.series(material, radius, f)
    orders = min(len(found), 30)  # beyond, the two equations lose their digits
    np.testing.assert_allclose(found[:orders], by_boundary(permittivity(material, f), radius, f, orders), atol=1e-6)
    assert np.abs(found[-1]) < 1e-6  # enough orders


def test_metal_scatters_all_and_muscle_swallows_some():
    assert np.abs(1 + 2 * echoes.series("metal", 0.1, HIGH)) == pytest.approx(1, abs=1e-9)  # energy is kept
    n = int(wave_number(HIGH) * 0.2)
    assert (np.abs(1 + 2 * echoes.series("muscle", 0.2, HIGH))[:n] < 0.99).all()


def test_a_large_metal_cylinder_returns_pi_times_its_radius():
    # Geometrical optics: the echo width of a large cylinder is pi r; Knott, Radar Cross Section, section 5.3.
    body = echoes.Pattern("metal", 0.5, HIGH)
    n = body.n
    back = (np.where(n == 0, 1, 2) * body.coefficients * (-1.0) ** n).sum()
    assert 4 / body.k * np.abs(back) ** 2 == pytest.approx(np.pi * 0.5, rel=0.01)


def test_a_lossy_cylinder_by_volume_moments():
    # Richmond, IEEE Trans. Antennas Propag. 13:334 (1965): cells of the volume radiate what polarizes them.
    f, radius, eps, cell = 2.4e9, 0.02, permittivity("concrete", 2.4e9), 0.001
    k = wave_number(f)
    line = np.arange(-radius + cell / 2, radius, cell)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    grid = grid[np.linalg.norm(grid, axis=1) < radius]
    disc = np.sqrt(np.pi * radius**2 / len(grid) / np.pi)  # each cell a disc; together they fill the circle
    apart = np.linalg.norm(grid[:, None] - grid, axis=-1)
    np.fill_diagonal(apart, 1)
    between = 0.5j * np.pi * k * disc * jv(1, k * disc) * hankel2(0, k * apart)
    np.fill_diagonal(between, 0.5j * (np.pi * k * disc * hankel2(1, k * disc) - 2j))
    tx, rx = np.array([-3.0, 0.4]), np.array([1.0, 2.0])
    inside = np.linalg.solve(np.eye(len(grid)) + (eps - 1) * between, hankel2(0, k * np.linalg.norm(grid - tx, axis=1)))
    arriving = hankel2(0, k * np.linalg.norm(grid - rx, axis=1))
    expected = -0.5j * np.pi * k * disc * jv(1, k * disc) * (eps - 1) * (inside * arriving).sum()
    angle = np.arctan2(rx[1], rx[0]) - np.arctan2(tx[1], tx[0])
    found = by_line_source(echoes.series("concrete", radius, f), k, np.linalg.norm(tx), np.linalg.norm(rx), angle)
    assert abs(found / expected - 1) < 0.02


@pytest.mark.parametrize(("f", "radius"), [(LOW, 0.2), (HIGH, 0.2), (HIGH, 0.24)])
def test_the_pattern_is_the_series_at_every_angle_and_distance(f, radius):
    body = echoes.Pattern("muscle", radius, f)
    rng = np.random.default_rng(0)
    r1, r2, turn = rng.uniform(0.6, 8, 3000), rng.uniform(0.6, 8, 3000), rng.uniform(-np.pi, np.pi, 3000)
    expected = by_line_source(body.coefficients, body.k, r1, r2, turn + np.pi)
    spread = echoes.line_factor(body.k) ** 2 * np.exp(-1j * body.k * (r1 + r2)) / np.sqrt(r1 * r2)
    found = spread * body(turn, 1 / r1 + 1 / r2)
    error = np.abs(found - expected) / np.abs(spread)
    assert np.sqrt((error**2).mean()) < 0.015 * np.sqrt((np.abs(expected / spread) ** 2).mean())
    spread = echoes.line_factor(body.k) ** 2 * np.exp(-1j * body.k * 3.35) / np.sqrt(3 * 0.35)
    close = spread * body(2.5, 1 / 3 + 1 / 0.35)
    assert abs(db(close / by_line_source(body.coefficients, body.k, 3.0, 0.35, 2.5 + np.pi))) < 1.0


def straight_on(thing, f, towards, back):
    """What a thing alone scatters between two far antennas, directions in rad, in the sense of Pattern."""
    far = [1000 * np.array([[[np.cos(angle), np.sin(angle)]]]) for angle in (towards, back)]
    return echoes.Beside(thing, wave_number(f))(*far)[0, 0, 0]


def test_a_narrow_strip_is_a_wire():
    # A strip of width w is a wire of radius w / 4 (Balanis, Antenna Theory, table 9.3), whatever way it faces.
    for azimuth in (0.0, np.pi / 2):
        for width in (0.001, 0.003):
            found = straight_on(echoes.Strip(width, azimuth, LOW), LOW, 0.3, 2.0)
            size = wave_number(LOW) * width / 4
            assert db(found / (-jv(0, size) / hankel2(0, size))) == pytest.approx(0, abs=0.05)


def test_a_wide_strip_face_on_is_a_mirror():
    # Physical optics: a current of twice the incident field; the sum of the series becomes -k w / 2.
    for width in (0.3, 0.6):
        found = straight_on(echoes.Strip(width, 0.0, HIGH), HIGH, 0.0, 0.0)
        assert db(found / (wave_number(HIGH) * width / 2)) == pytest.approx(0, abs=0.3)


def test_a_strip_edge_on_still_scatters():
    found = straight_on(echoes.Strip(0.035, np.pi / 2, HIGH), HIGH, 0.0, np.pi)
    assert np.abs(found) > 0.3 * np.abs(straight_on(echoes.Strip(0.035, 0.0, HIGH), HIGH, 0.0, np.pi))


def test_more_pieces_change_nothing(monkeypatch):
    coarse = straight_on(echoes.Strip(0.3, 0.3, HIGH), HIGH, 0.1, 2.5)
    ceil = np.ceil
    monkeypatch.setattr(echoes.np, "ceil", lambda x: 3 * ceil(x))
    fine = straight_on(echoes.Strip(0.3, 0.3, HIGH), HIGH, 0.1, 2.5)
    assert abs(db(fine / coarse)) < 0.1


@pytest.mark.parametrize(("material", "radius", "f"), [
    ("water", 0.035, HIGH), ("water", 0.035, LOW), ("metal", 0.002, HIGH), ("muscle", 0.05, HIGH)])
def test_a_rod_is_the_series(material, radius, f):
    coefficients = echoes.series(material, radius, f)
    n = np.arange(len(coefficients))
    for towards, back in ((0.0, np.pi), (0.4, 0.4), (1.0, 2.3)):
        expected = (np.where(n == 0, 1, 2) * coefficients * np.cos(n * (towards - back - np.pi))).sum()
        assert straight_on(echoes.Rod(material, radius, f), f, towards, back) == pytest.approx(expected, rel=1e-3)


def moments(points, piece, k):
    """Response of metal that is cut into short pieces: points (N, 2), length of each piece (N,)."""
    apart = np.linalg.norm(points[:, None] - points, axis=-1)
    np.fill_diagonal(apart, 1)
    between = hankel2(0, k * apart) * piece
    np.fill_diagonal(between, piece * (1 - 2j / np.pi * (np.log(k * piece / 4) + np.euler_gamma - 1)))
    return -np.linalg.inv(between) * piece[:, None]


@pytest.mark.parametrize("azimuth", [0.0, 1.1])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_strip_at_a_body_against_moments_of_both(azimuth, side):
    # Both of metal, so that one system of moments holds them; the body stands in the light, or the strip does.
    f, radius, offset = HIGH, 0.1, np.array([side * 0.14, 0.02])
    k = wave_number(f)
    strip = echoes.Strip(0.035, azimuth, f)
    angle = 2 * np.pi * (np.arange(400) + 0.5) / 400
    circle = radius * np.stack([np.cos(angle), np.sin(angle)], 1)
    piece = np.r_[np.full(400, 2 * np.pi * radius / 400), np.full(len(strip.points), 0.035 / len(strip.points))]
    tx, rx = np.array([-2.0, 0.3]), np.array([1.5, 1.0])

    def scattered(points, piece):
        lit, seen = (hankel2(0, k * np.linalg.norm(points - antenna, axis=1)) for antenna in (tx, rx))
        return seen @ moments(points, piece, k).T @ lit

    both = scattered(np.concatenate([circle, strip.points + offset]), piece)
    alone = scattered(circle, piece[:400])
    beside = echoes.Beside(strip, k, offset, echoes.Pattern("metal", radius, f))
    to_tx, to_rx = tx - offset, rx - offset
    sum_of_series = beside(to_rx[None, None], to_tx[None, None])[0, 0, 0]
    r1, r2 = np.linalg.norm(to_tx), np.linalg.norm(to_rx)
    found = echoes.line_factor(k) ** 2 * np.exp(-1j * k * (r1 + r2)) / np.sqrt(r1 * r2) * sum_of_series
    assert abs(db(found / (both - alone))) < 0.4
    assert abs(np.angle(found / (both - alone))) < 0.06


def test_an_object_at_a_body_is_seen_alike_from_both_ends():
    k = wave_number(HIGH)
    body = echoes.Pattern("muscle", 0.2, HIGH)
    for thing in (echoes.Strip(0.035, 0.4, HIGH), echoes.Rod("water", 0.035, HIGH)):
        beside = echoes.Beside(thing, k, (0.1, 0.24), body)
        a, b = np.array([[[2.0, 1.0]]]), np.array([[[-1.5, 0.7]]])
        assert beside(a, b)[0, 0, 0] == pytest.approx(beside(b, a)[0, 0, 0], rel=1e-6)
