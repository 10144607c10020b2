"""The four parts of a digits task: which digits, how many, and that those that score were never adapted to."""

import numpy as np
import pytest
import torch

from csi_utils import digits, training


@pytest.mark.parametrize("frame", [False, True])
@pytest.mark.parametrize(("here", "there"), [("uci-digits", "mnist-5000"), ("mnist-5000", "uci-digits")])
def test_pool_and_test_and_source_and_held_are_other_digits(here, there, frame):
    pair = digits.pair(here, there, 16, 300, frame)
    images = {name: {image.numpy().tobytes() for image in x} for name, (x, _) in pair.items()}
    assert not images["pool"] & images["test"] and not images["source"] & images["held"]
    assert {name: len(x) for name, (x, _) in pair.items()} == {
        "source": 300, "held": min(1000, len(digits.load(here, "test")[0])), "pool": 300,
        "test": len(digits.load(there, "test")[0])}
    for name, whose, part in (("source", here, "train"), ("held", here, "test"), ("pool", there, "train"),
                              ("test", there, "test")):
        x, y = digits.load(whose, part, 16)
        x = torch.from_numpy(digits.framed(x, 11) if frame else x)  # 16 * 20 / 28
        near = torch.cdist(pair[name][0][:40].flatten(1), x.flatten(1)).min(1)
        assert near.values.max() < 0.02 and len(set(near.indices.tolist())) == 40
        assert torch.equal(pair[name][1][:40], torch.from_numpy(y)[near.indices])


@pytest.mark.parametrize(("count", "tests"), [(4000, 2000), (4001, 10000)])
def test_a_large_count_has_more_tests(monkeypatch, count, tests):
    x, y = np.zeros((12000, 1, 16, 16), np.float32), np.arange(12000)
    monkeypatch.setattr(digits, "load", lambda name, part, size: (x, y))
    sizes = {name: len(rows) for name, (rows, _) in digits.pair("usps", "uci-digits", 16, count).items()}
    assert sizes == {"source": count, "held": 1000, "pool": count, "test": tests}


def test_a_count_below_one_is_named():
    with pytest.raises(ValueError, match="count: got 0"):
        digits.pair("uci-digits", "mnist-5000", 16, 0)


def test_accuracy_is_the_share_of_right_rows():
    x, y = torch.eye(4), torch.tensor([0, 1, 2, 0])
    assert training.accuracy(torch.nn.Identity(), (x, y)) == 75
