"""The definitions of the deeper notebook on the walk, on inputs that the notebook does not show."""

import numpy as np
import pytest
import torch
from notebook_code import definitions

from csi_utils.sim import metal

nb = definitions("deeper/08_concealed_walk")
nb.PEOPLE, nb.TURNS = 12, 3


def test_levels_are_decibels_over_the_packet_and_do_not_know_the_gain():
    rng = np.random.default_rng(0)
    csi = rng.uniform(1, 9, (6, 30, 3, 3)) * np.exp(1j * rng.uniform(-3, 3, (6, 30, 3, 3)))
    level = nb.levels({"csi": csi, "recording": np.repeat([0, 1], 3)})
    assert level.shape == (2, 3, 9, 30) and level.dtype == np.float32
    np.testing.assert_allclose(level.mean((2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(nb.levels({"csi": 7 * csi, "recording": np.repeat([0, 1], 3)}), level, atol=0.01)
    decibel = 20 * np.log10(np.abs(csi[4, 11, 2, 1] / csi[4, 12, 0, 2]))  # receive antenna first, then transmit
    assert level[1, 1, 3 * 2 + 1, 11] - level[1, 1, 3 * 0 + 2, 12] == pytest.approx(decibel, abs=0.01)


def test_the_majority_decides_and_a_tie_is_half():
    right = np.array([[1, 1, 0, 1], [1, 0, 0, 1], [0, 0, 1, 0]], bool)
    np.testing.assert_array_equal(nb.vote(right), [1.0, 0.5, 0.0])


def test_each_person_counts_once():
    person = np.repeat(np.arange(12), 3)
    found = nb.by_person((person < 6).astype(float), person)
    assert found.mean == pytest.approx(50) and len(found.values) == 12


def walks(shows):
    """Three walks of each person with nothing, three with an object, which shows or not."""
    rng = np.random.default_rng(0)
    person, y = np.tile(np.repeat(np.arange(12), 3), 2), np.repeat([0, 1], 36).astype(np.float32)
    x = rng.standard_normal((72, 5, 9, 30)).astype(np.float32)
    x[y == 1, :, 4] += 2 * shows
    return x, y, person


def test_what_is_there_is_found_on_people_who_were_not_trained_on():
    right = nb.right_windows(*walks(shows=True), epochs=15)
    assert right.shape == (72, 5) and right.mean() > 0.9


def test_nobody_is_in_both_training_and_test(monkeypatch):
    x, y, person = walks(shows=False)
    x[:] = np.arange(72)[:, None, None, None]  # each walk is its own number
    seen, yes = [], torch.ones(10**3, 1)
    monkeypatch.setattr(nb.training, "fit", lambda model, loss, rows, **options: seen.append(rows[0][:, 0, 0]))
    monkeypatch.setattr(nb.training, "predict", lambda model, rows: seen.append(rows[:, 0, 0]) or yes[:len(rows)])
    nb.right_windows(x, y, person, epochs=1)
    tested = []
    for turn, (train, test) in enumerate(zip(seen[::2], seen[1::2], strict=True)):
        out = person % 3 == turn
        mean, spread = x[~out].mean((0, 1))[0, 0], x[~out].std((0, 1))[0, 0]
        who = [set(person[np.rint(part.numpy() * spread + mean).astype(int)]) for part in (train, test)]
        assert who[0].isdisjoint(who[1]) and len(who[0] | who[1]) == 12
        tested += who[1]
    assert sorted(tested) == list(range(12))


def test_guessing_is_one_half_for_every_person():
    nb.seed, nb.cfg = 0, {"walks": 12}
    nb.OBJECTS = {"nothing": None, "nothing again": None, "knife": metal.WALK_OBJECTS["metal"],
                  "bottle": metal.WALK_OBJECTS["water"]}
    x, y, person, thing = nb.walks_of({"carry": "standing"})
    assert x.shape == (48, 15, 9, 30) and y.mean() == 0.5
    for who in range(12):
        assert sorted(thing[person == who]) == [0, 1, 2, 3]
