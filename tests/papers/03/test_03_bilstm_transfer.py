"""The definitions of notebook 03 on inputs the notebook does not show, against torch, scipy and closed forms."""

import copy
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from notebook_code import definitions
from scipy import signal
from torch import nn

nb = definitions("03_bilstm_transfer")
nb.cfg = nb.SIZES["smoke"] | {"k": 2, "steps": 10}
nb.FLOOR = 1e-5
nb.WATCH = [5, 10, 20]
nb.RATE = {nb.FC_ONLY: 0.03, nb.ALL_LAYERS: 0.003, "target": 0.01}
nb.seed = 0


def recordings(seed=0, people=3, trials=8, packets=200, features=6):
    """Made-up samples of two activities, told apart by how fast they move, in two rooms."""
    grid = np.meshgrid(np.arange(2), np.arange(people), np.arange(2), np.arange(trials), indexing="ij")
    room, person, activity, trial = (part.ravel() for part in grid)
    rng = np.random.default_rng(seed)
    t = np.arange(packets)[None, :, None] / 50
    beat = np.sin(2 * np.pi * np.where(activity, 8, 2)[:, None, None] * t + rng.uniform(0, 6, (len(room), 1, features)))
    X = 5 + beat + room[:, None, None] * rng.standard_normal((1, 1, features))
    X = (X + 0.1 * rng.standard_normal(X.shape)).astype(np.float32)
    table = pd.DataFrame({"activity": activity, "person": person, "room": room, "trial": trial})
    table = table.sample(frac=1, random_state=seed)
    X = X[table.index]
    return SimpleNamespace(name="made up", activities=["slow", "fast"], table=table.reset_index(drop=True), X=X,
                           inputs=nb.cut(X), features=nb.classical(X))


@dataclass
class Link:
    tx = (0.0, 0.0, 1.0)
    rx = (4.0, 0.0, 1.0)


@pytest.mark.parametrize(("w", "s"), [(20, 20), (20, 7), (1, 1), (50, 3)])
def test_segments_are_torch_s(w, s):
    Z = np.random.default_rng(0).standard_normal((4, 50, 3))
    view = nb.segments(Z, w, s)
    assert np.array_equal(torch.tensor(Z).unfold(1, w, s).numpy(), view)
    assert view.shape == (4, (50 - w) // s + 1, 3, w)


@pytest.mark.parametrize(("w", "s"), [(0, 1), (51, 1), (5, 0)])
def test_impossible_segments_are_named(w, s):
    with pytest.raises(ValueError, match=f"got {w} and {s}, expected 1 to 50"):
        nb.segments(np.zeros((2, 50, 3)), w, s)


@pytest.mark.parametrize(("layers", "hidden", "length"), [(1, 3, 1), (1, 5, 7), (2, 4, 6), (3, 2, 9)])
def test_the_lstm_by_hand_is_torch_s(layers, hidden, length):
    torch.manual_seed(layers)
    lstm = nn.LSTM(6, hidden, layers, batch_first=True, bidirectional=True).double()
    u = torch.randn(4, length, 6).double()
    with torch.no_grad():
        torch.testing.assert_close(nb.bilstm_by_hand(lstm, u), lstm(u)[0])


def test_m2_reads_the_ends_that_torch_calls_final():
    torch.manual_seed(0)
    net, u = nb.SequenceNet(5, 3, hidden=4, layers=1).eval(), torch.randn(2, 6, 5)
    with torch.no_grad():
        _, (last, _) = net.lstm(u)  # torch's own final states: forward, backward
        torch.testing.assert_close(net(u), net.head(torch.cat([last[0], last[1]], 1)))


def test_the_power_is_scipy_s_and_sees_a_tone():
    data = recordings()
    ours = nb.power(data.X[:6])
    library = signal.stft(nb.stream(data.X[:6]), nperseg=32, noverlap=27, axis=1, boundary="even", padded=False)[2]
    np.testing.assert_allclose(ours, (np.abs(library) ** 2).mean(2).swapaxes(1, 2), rtol=1e-3, atol=1e-9)
    peak = (ours[:, 3:-3, 1:].mean(1).argmax(1) + 1) * 50 / 32
    assert (np.abs(peak - np.where(data.table.activity[:6], 8, 2)) < 1.6).all()


def test_the_stream_does_not_see_gain_and_the_spectrum_no_order_of_features():
    X = recordings().X[:4]
    gain = np.random.default_rng(0).uniform(0.5, 2, (4, 200, 1)).astype(np.float32)
    np.testing.assert_allclose(nb.stream(X * gain), nb.stream(X), atol=1e-5)
    assert np.abs(nb.stream(X).mean(1)).max() < 1e-5
    np.testing.assert_allclose(nb.power(X[:, :, ::-1]), nb.power(X), rtol=1e-4, atol=1e-8)


def test_doppler_of_a_point_that_leaves_both_ends():
    point = np.column_stack([5 + 0.5 * np.arange(50) / 100, np.zeros(50), np.ones(50)])
    expected = 2 * 0.5 * nb.activities.FC / nb.channel.SPEED_OF_LIGHT
    np.testing.assert_allclose(nb.doppler(point, Link, 100), expected, rtol=1e-6)


@pytest.mark.parametrize("room", [0, 1])
@pytest.mark.parametrize("person", [0, 2])
def test_a_fold_keeps_person_and_room_apart(person, room):
    table = recordings().table
    rows = nb.roles(table, person, room)
    parts = {name: table.iloc[r] for name, r in rows.items()}
    assert (parts["source"].person != person).all() and (parts["source"].room == room).all()
    assert (parts["home"].person == person).all() and (parts["home"].room == room).all()
    for name in ("pool", "test"):
        assert (parts[name].person == person).all() and (parts[name].room != room).all()
    assert parts["pool"].trial.max() < parts["test"].trial.min()
    assert len(parts["pool"]) == len(parts["test"]) == 8
    assert sum(map(len, rows.values())) == len(set().union(*rows.values()))


@pytest.fixture(scope="module")
def fold():
    return nb.make_fold(recordings(), "spectrum", person=1, room=0, steps=60, seed=3)


def test_a_fold_is_standardized_by_the_source_and_draws_few_from_the_pool(fold):
    data = recordings()
    rows, S = nb.roles(data.table, 1, 0), data.inputs["spectrum"]
    mean, deviation = S[rows["source"]].mean((0, 1, 3)), S[rows["source"]].std((0, 1, 3))
    expected = (S[rows["test"]] - mean[:, None]) / (deviation[:, None] + 1e-6)
    np.testing.assert_allclose(fold.S["test"], expected, rtol=1e-4, atol=1e-4)
    assert "source" not in fold.S and fold.y[2].bincount().tolist() == [2, 2]
    pool = {part.numpy().tobytes() for part in fold.S["pool"]}
    assert all(part.numpy().tobytes() in pool for part in fold.S[2])
    assert not any(part.numpy().tobytes() in pool for part in fold.S["test"])


@pytest.mark.parametrize("parts", [nb.FC_ONLY, nb.ALL_LAYERS])
def test_only_what_is_released_learns(fold, parts):
    before = copy.deepcopy(fold.chain.state_dict())
    chain = nb.release(fold.chain, parts)
    nb.descend(chain, chain, fold.S[2], fold.y[2], 5, 0)
    for name, value in fold.chain.state_dict().items():
        assert torch.equal(value, before[name]), name  # the source's chain is left as it was
        average = "running" in name or "batches" in name
        assert torch.equal(value, chain.state_dict()[name]) != (name.startswith(parts) and not average), name


def test_the_frozen_convolution_may_be_run_once(fold):
    chain = fold.chain
    with torch.no_grad():
        torch.testing.assert_close(chain.tail(chain.convolve(fold.S["test"])), chain(fold.S["test"]))
        torch.testing.assert_close(chain.train().convolve(fold.S["test"]), chain.eval().convolve(fold.S["test"]))


def test_every_method_gets_the_same_steps_and_learns_an_easy_task(fold):
    plain = nb.untouched(fold)
    assert set(plain) == {"no adaptation", "statistics", "vote", "at home"} and plain["at home"] > 90
    for method in (nb.target_only, lambda *a: nb.fine_tune(*a, parts=nb.FC_ONLY),
                   lambda *a: nb.fine_tune(*a, parts=nb.ALL_LAYERS)):
        seen, seconds = method(fold, 2, 0)
        assert len(seen) == 2 and seconds > 0  # after 5 and 10 steps
        assert all(0 <= value <= 100 for value in seen)
    assert nb.fine_tune(fold, 2, 0, nb.FC_ONLY)[0][-1] > 90
    assert nb.fine_tune(fold, 2, 0, nb.FC_ONLY)[0] == nb.fine_tune(fold, 2, 0, nb.FC_ONLY)[0]


def test_shuffled_labels_are_the_same_labels_in_another_order(fold, monkeypatch):
    given = []
    monkeypatch.setattr(nb, "descend", lambda *a, **k: given.append(a[3]) or ([], 0.0))
    nb.fine_tune(fold, 2, 1, nb.FC_ONLY)
    nb.fine_tune(fold, 2, 1, nb.FC_ONLY, mix=True)
    assert torch.equal(given[0], fold.y[2]) and torch.equal(given[0].sort()[0], given[1].sort()[0])


def test_a_loss_that_is_not_finite_is_an_error(fold):
    with pytest.raises(FloatingPointError, match="not finite within 5 steps"):
        chain = nb.release(fold.chain, nb.ALL_LAYERS)
        nb.descend(chain, chain, fold.S[2] * np.nan, fold.y[2], 5, 0)


def test_means_and_gains_are_over_persons(monkeypatch):
    """Three persons, two directions: each person is the mean of the two, and a gain is paired."""
    def fold(self, number):
        room, person = divmod(number % 1000, self.people)
        rows = {(person, room, "stream", "a", 1): [0, 10 * person + room],
                (person, room, "stream", "b", 0): [0, 5 * person]}
        names = ["person", "room", "input", "method", "k"]
        return pd.DataFrame(rows, index=[5, 10]).T.rename_axis(names), {("stream", "a", 1): 0.1}

    monkeypatch.setattr(nb.Results, "fold", fold)
    found = nb.Results(recordings(), {"stream": []}, 10, directions=2)
    np.testing.assert_allclose(found.mean("stream", "a", 1, look=10).values, [0.5, 10.5, 20.5])
    np.testing.assert_allclose(found.gain("stream", ("a", 1), ("b", 0), look=10).values, [0.5, 5.5, 10.5])
