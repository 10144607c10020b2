"""The definitions of notebook 12 on inputs that the notebook does not show, against closed forms and other solvers."""

import numpy as np
import pytest
from notebook_code import definitions
from scipy.linalg import solve_banded
from scipy.stats import norm

nb = definitions("12_metal_detector")
nb.FIELD_MAP = nb.make_map()
nb.HEIGHTS = np.arange(0.04, 0.27, 0.02)
nb.on_edge, _, nb.face_on = nb.ellipsoid(nb.COIN)
COPPER = (5.8e7, 1)


# The coil and what answers it ---------------------------------------------------------------------------------------


def test_the_coils_field_far_away_is_that_of_a_dipole():
    at = np.array([[3.0, 1.0, 2.0], [0.0, -4.0, 0.5]])
    r = np.linalg.norm(at, axis=1, keepdims=True)
    moment = np.array([0, 0, np.pi * 0.05**2])
    dipole = (3 * at * (at @ moment)[:, None] / r**2 - moment) / (4 * np.pi * r**3)
    np.testing.assert_allclose(nb.biot_savart(at, 0.05), dipole, rtol=0.01, atol=1e-8)


def test_the_map_is_the_field_of_the_coil():
    rho, z = np.array([0.013, 0.111, 0.3]), np.array([0.05, 0.081, 0.17])
    exact = nb.biot_savart(np.column_stack([rho, 0 * rho, z]), nb.COIL)
    np.testing.assert_allclose(nb.coil_field(rho, z), exact[:, [0, 2]].T, rtol=0.01, atol=1e-3)


@pytest.mark.parametrize(("conductivity", "permeability", "frequency"), [(5.8e7, 1, 300), (6e6, 5, 1e3), (1e6, 1, 3e4)])
def test_a_ball_by_finite_differences(conductivity, permeability, frequency):
    """The vector potential A in the ball, d2u/dr2 = (2/r2 + i w mu s) u with u = r A, and the field outside.

    In units of the radius, which is 1 cm; outside u = r^2 / 2 + alpha / r.
    """
    n = 4000
    r = np.arange(1, n + 1) / n
    loss = 2j * np.pi * frequency * nb.MU_0 * permeability * conductivity * 0.01**2
    bands = np.zeros((3, n), complex)
    bands[0, 1:] = bands[2, :-1] = n**2
    bands[1] = -2 * n**2 - 2 / r**2 - loss
    bands[1, -1], bands[2, -2] = 1, 0
    source = np.zeros(n)
    source[-1] = 1
    u = solve_banded((1, 1), bands, source)
    slope = (3 * u[-1] - 4 * u[-2] + u[-3]) * n / 2 / permeability  # of what is continuous, over u
    # u: 1/2 + alpha = c; slope: 1 - alpha = c * slope
    alpha = (1 - slope / 2) / (1 + slope)
    assert nb.ball(0.01, conductivity, permeability, frequency) == pytest.approx(alpha, rel=2e-3)


def test_demagnetizing_factors_add_up_to_one_and_a_long_rod_has_a_half_across():
    axes = np.array([0.03, 0.01, 0.002])
    volume = 4 / 3 * np.pi * axes.prod()
    assert (1 - volume / nb.ellipsoid(axes)).sum() == pytest.approx(1)
    rod = np.array([10.0, 0.01, 0.01])
    assert nb.ellipsoid(rod)[1] == pytest.approx(2 * 4 / 3 * np.pi * rod.prod(), rel=1e-3)


def test_a_disc_of_rings_between_its_two_limits():
    """A tiny disc is Eq. (3)'s flat ellipsoid; a huge one sends back the coil's image."""
    small = nb.ellipsoid([0.01, 0.01, 1e-7])[2] * nb.by_elliptic_integrals(1e-6, 0.1)[1] ** 2
    assert nb.disc_echo(0.01, 0.1) == pytest.approx(small, rel=0.03)
    assert nb.disc_echo(1.0, 0.05, 200) == pytest.approx(nb.inductance(nb.COIL, nb.COIL, 0.1), rel=0.03)


def test_two_rings_exchange_what_flux_the_field_gives():
    rho = (np.arange(400) + 0.5) * 0.03 / 400
    flux = (nb.by_elliptic_integrals(rho, 0.07)[1] * 2 * np.pi * rho).sum() * 0.03 / 400
    assert nb.inductance(0.05, 0.03, 0.07) == pytest.approx(flux, rel=1e-4)


def test_a_body_far_off_loses_what_a_dipoles_field_drives():
    """Far away J1(u) is u / 2, and the integral a / (8 z)."""
    loss = 2 * np.pi * 3e4 * nb.MU_0 * 0.35
    assert nb.body_echo(1.0) == pytest.approx(loss * np.pi * nb.COIL**4 / 32, rel=0.02)


def test_a_knife_as_one_ellipsoid_of_the_same_kind_far_away():
    """A strip of constant width answers like the slender ellipsoid of 1.5 times its squared mean half width."""
    flat = nb.ellipsoid([0.1125, 0.0175, 1e-6])[2] * 1.5
    on_axis = nb.by_elliptic_integrals(1e-6, 0.38)[1]
    assert nb.knife_echo(0.38) == pytest.approx(flat * on_axis**2, rel=0.2)


# The detector -------------------------------------------------------------------------------------------------------


def test_filtered_noise_has_the_deviation_of_a_first_order_filter():
    noise = np.random.default_rng(0).standard_normal(200_000)
    share = 1 - np.exp(-1 / nb.RATE / 0.05)
    assert nb.low_pass(noise, 0.05).std() == pytest.approx(np.sqrt(share / (2 - share)), rel=0.03)
    assert nb.low_pass(noise, 0) is noise


def test_a_zero_forgets_what_is_constant():
    y = nb.detector(np.ones(1000), 0.1, 0.3)
    assert y.max() > 0.3 and abs(y[-1]) < 1e-6


def test_a_pass_over_a_coin_that_faces_the_coil_is_equation_4():
    lot = nb.chance(3, 1.0, 2)
    lot |= {"aside": np.zeros((2, 1)), "axis": np.tile([[0.0], [0.0], [1.0]], (2, 1, 1))}
    s = nb.echo(lot, 0.1)
    peak = nb.face_on * nb.COIL**4 / 4 / (nb.COIL**2 + 0.1**2) ** 3
    assert s.shape == (2, nb.RATE + len(lot["x"])) and not s[:, : nb.RATE].any()
    assert s.max() == pytest.approx(peak, rel=0.01)


def test_a_coin_on_edge_answers_less_and_one_lying_along_the_pass_twice():
    lot = nb.chance(3, 1.0, 1) | {"aside": np.zeros((1, 1))}
    across, along = (lot | {"axis": np.array([axis])[..., None]} for axis in ((0.0, 1, 0), (1.0, 0, 0)))
    middle = np.abs(lot["x"]).argmin() + nb.RATE
    s = nb.echo(along, 0.1)[0]
    assert s[middle] == pytest.approx(nb.echo(across, 0.1)[0, middle], rel=0.05)  # the field is upright there
    assert s[:middle].max() > 1.5 * s[middle] and s[middle:].max() > 1.5 * s[middle]


def test_the_fifth_hand_differs_from_each_of_the_robots_in_one_thing():
    (small, quick, damping), (large, _, _), fifth = list(nb.HANDS.values())[2:]
    assert fifth == (large, quick, damping) and large > small
    lot = nb.chance(1, 1.0, 200)
    swings = {hand: nb.wobble(hand, lot) for hand in nb.HANDS}
    assert not swings["steady"].any()
    np.testing.assert_allclose(swings["as large, but fast"], swings["robot, balanced"] * large / small)
    assert swings["robot, not balanced"].std() == pytest.approx(large, rel=0.1)


@pytest.mark.parametrize("speed", [0.1, 0.2, 0.5, 1.0, 2.0])
def test_equal_looks_are_at_the_same_places_at_every_speed(speed):
    lot = nb.chance(1, speed, 1)
    np.testing.assert_allclose(lot["x"][lot["equal"]], np.arange(15) * 0.02 - 0.15, atol=1e-9)


def test_a_threshold_of_quiet_seconds_is_that_of_independent_looks_without_a_filter():
    loudest = nb.quiet(20_000, 3, tau=0).max(1)
    assert loudest.shape == (20_000,)
    expected = nb.NOISE * norm.ppf(0.99 ** (1 / nb.RATE))
    assert np.quantile(loudest, 0.99) == pytest.approx(expected, rel=0.02)
    share = 1 - np.exp(-1 / nb.RATE / nb.TAU)
    assert nb.quiet(20_000, 3).std() == pytest.approx(nb.NOISE * np.sqrt(share / (2 - share)), rel=0.02)
    assert len(np.unique(nb.quiet(200, 3))) == 200 * nb.RATE  # no reading comes twice


def test_without_noise_a_steady_slow_swing_finds_as_far_as_the_echo_is_above_the_threshold():
    """A coin that faces the coil, right below its way, a filter of 0: Eq. (4) gives the range."""
    lot = nb.chance(0, 0.1, 4) | {"aside": np.zeros((4, 1)), "axis": np.tile([[0.0], [0.0], [1.0]], (4, 1, 1))}
    reach = 0.15
    nb.threshold = {"no filter": nb.face_on * nb.COIL**4 / 4 / (nb.COIL**2 + reach**2) ** 3}
    answer = nb.search({0.1: lot}, 0, hand="steady", name="no filter", noise=0)
    np.testing.assert_array_equal(answer[0.1, "share"], nb.HEIGHTS < reach)
    assert 100 * reach - 2 < answer[0.1, 0.9] < answer[0.1, 0.1] < 100 * reach + 2
    equal = nb.search({0.1: lot}, 0, hand="steady", name="no filter", noise=0, equal=True)
    assert (equal[0.1, "share"] <= answer[0.1, "share"]).all()  # some readings of the same pass


def test_the_radar_cross_section_of_a_small_ball_and_of_a_small_disc():
    """Rayleigh: 9 pi k^4 R^6 for a perfectly conducting ball, 64 / (9 pi) k^4 R^6 for a disc that is hit face on."""
    nb.wave_number, R = 50.0, 0.002
    volume = 4 / 3 * np.pi * R**3
    P = nb.ellipsoid([R, R, R])[0]
    ball = nb.radar_area(volume * P / (P - volume), P)
    assert ball == pytest.approx(9 * np.pi * 50**4 * R**6, rel=1e-6)
    across, _, _ = nb.ellipsoid([R, R, 1e-4 * R])
    volume *= 1e-4
    disc = nb.radar_area(volume * across / (across - volume), across)
    assert disc == pytest.approx(64 / 9 / np.pi * 50**4 * R**6, rel=1e-3)


def test_the_height_of_a_share():
    share = np.linspace(1, 0, len(nb.HEIGHTS))
    assert nb.height_at(share, 0.5) == pytest.approx(100 * nb.HEIGHTS.mean())
    lucky = share.copy()
    lucky[-1] = 0.95  # a far height found by luck does not lengthen the range
    assert nb.height_at(lucky, 0.9) == nb.height_at(share, 0.9)
