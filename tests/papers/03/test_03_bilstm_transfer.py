"""The definitions of notebook 03 on inputs the notebook does not show, against torch, scipy and closed forms."""

import numpy as np
import pytest
import torch
from notebook_code import definitions
from scipy import signal
from torch import nn

from csi_utils import datasets, training

nb = definitions("03_bilstm_transfer")
nb.cfg = nb.SIZES["smoke"] | {"epochs": 2, "steps": 6}
nb.shots, nb.seed = (1, 5), 0


def recordings(seed=0, n=96, packets=200, features=6):
    """Made-up samples of two activities, told apart by how fast they move."""
    rng = np.random.default_rng(seed)
    index = np.arange(n)
    y, scene, subject, trial = index % 2, index // 2 % 2, index // 4 % 2, index // 8
    t = np.arange(packets)[None, :, None] / 50
    beat = np.sin(2 * np.pi * np.where(y, 8, 2)[:, None, None] * t + rng.uniform(0, 6, (n, 1, features)))
    X = 5 + beat + scene[:, None, None] * rng.standard_normal((1, 1, features))
    X += 0.1 * rng.standard_normal(X.shape)
    return nb.Recordings(X.astype(np.float32), y, scene, subject, trial, ["slow", "fast"])


@pytest.mark.parametrize(("w", "s"), [(20, 20), (20, 7), (1, 1), (50, 3)])
def test_segments_by_loop_by_view_and_by_torch(w, s):
    Z = np.random.default_rng(0).standard_normal((4, 50, 3))
    view = nb.segments(Z, w, s)
    assert np.array_equal(nb.segments_by_loop(Z, w, s), view.swapaxes(2, 3))
    assert np.array_equal(torch.tensor(Z).unfold(1, w, s).numpy(), view)


@pytest.mark.parametrize(("w", "s"), [(0, 1), (51, 1), (5, 0)])
def test_impossible_segments_are_named(w, s):
    with pytest.raises(ValueError, match="w must be 1 to 50"):
        nb.segments(np.zeros((2, 50, 3)), w, s)


@pytest.mark.parametrize(("layers", "hidden", "length"), [(1, 3, 1), (1, 5, 7), (2, 4, 6), (3, 2, 9)])
def test_the_lstm_by_hand_is_torch_s(layers, hidden, length):
    torch.manual_seed(layers)
    lstm = nn.LSTM(6, hidden, layers, batch_first=True, bidirectional=True).double()
    u = torch.randn(4, length, 6).double()
    hand = nb.bilstm_by_hand(lstm, u)
    with torch.no_grad():
        torch.testing.assert_close(hand.detach(), lstm(u)[0])


def test_m2_reads_the_right_ends():
    torch.manual_seed(0)
    net, u = nb.SequenceNet(5, 3, hidden=4, layers=1).eval(), torch.randn(2, 6, 5)
    with torch.no_grad():
        _, (last, _) = net.lstm(u)  # torch's own final states: forward, backward
        torch.testing.assert_close(net(u), net.head(torch.cat([last[0], last[1]], 1)))
    for direction, index in (("forward", 0), ("backward", 1)):
        one = nb.SequenceNet(5, 3, hidden=4, layers=1, direction=direction).eval()
        with torch.no_grad():
            torch.testing.assert_close(one(u), one.head(one.lstm(u)[1][0][index]))


def test_the_power_is_scipy_s_and_sees_a_tone():
    X = recordings().X
    ours = nb.power(X[:3])
    library = signal.stft(nb.stream(X[:3]), nperseg=32, noverlap=27, axis=1, boundary="even", padded=False)[2]
    np.testing.assert_allclose(ours, (np.abs(library) ** 2).mean(2).swapaxes(1, 2), rtol=1e-3, atol=1e-9)
    peak = ours[:, 3:-3, 1:].mean(1).argmax(1) + 1
    assert (np.abs(peak * 50 / 32 - np.array([2, 8, 2])) < 1.6).all()


def test_level_and_stream_do_not_see_gain_and_the_spectrum_no_order_of_features():
    X = recordings().X[:4]
    gain = np.random.default_rng(0).uniform(0.5, 2, (4, 200, 1)).astype(np.float32)
    for make in (nb.level, nb.stream):
        np.testing.assert_allclose(make(X * gain), make(X), atol=1e-5)
    assert np.abs(nb.stream(X).mean(1)).max() < 1e-5
    np.testing.assert_allclose(nb.spectrum(X[:, :, ::-1]), nb.spectrum(X), atol=1e-4)
    np.testing.assert_allclose(nb.classical(X[:, :, ::-1], True), nb.classical(X, True), atol=1e-4)


def test_doppler_of_a_point_that_leaves_both_ends():
    class Link:
        tx, rx = (0.0, 0.0, 1.0), (4.0, 0.0, 1.0)

    point = np.column_stack([5 + 0.5 * np.arange(50) / 100, np.zeros(50), np.ones(50)])
    expected = 2 * 0.5 * nb.activities.FC / nb.channel.SPEED_OF_LIGHT
    np.testing.assert_allclose(nb.doppler(point, Link, 100), expected, rtol=1e-6)


@pytest.mark.parametrize("share", [0.2, 0.3, 0.5])
def test_later_trials_are_later_in_every_group(share):
    data = recordings()
    rng = np.random.default_rng(1)
    rows = rng.permutation(len(data.y))[:80]  # any order, and not all of them
    mask = nb.late(data, share, rows)
    for group in set(zip(data.scene, data.subject, data.y, strict=True)):
        mine = [i for i, r in enumerate(rows) if (data.scene[r], data.subject[r], data.y[r]) == group]
        trial = data.trial[rows[mine]]
        assert mask[mine].sum() == len(mine) - round((1 - share) * len(mine))
        assert mask[mine].sum() == 0 or trial[~mask[mine]].max() < trial[mask[mine]].min()


def test_splits_keep_apart_what_they_promise():
    data = recordings()
    for question, pairs in nb.splits(data, 0, np.random.default_rng(0)).items():
        for a, b in pairs:
            assert not set(a) & set(b) and len(a) and len(b)
            assert (data.scene[a] == 0).all()
            assert question != "another person" or not set(data.subject[a]) & set(data.subject[b])
            assert question != "another scene" or (data.scene[b] == 1).all()
    rows, held, pool, test = nb.roles(data, 0, 1)
    parts = [set(part) for part in (rows, held, pool, test)]
    assert sum(map(len, parts)) == len(set().union(*parts)) == len(data.y)
    assert data.trial[pool].max() < data.trial[test].min() and data.trial[rows].max() < data.trial[held].min()


@pytest.mark.parametrize("question", ["random", "later trials", "another person", "another scene"])
def test_a_split_that_leaks_is_seen(question):
    data = recordings()
    pairs = nb.splits(data, 0, np.random.default_rng(0))
    nb.kept_apart(data, pairs)
    a, b = pairs[question][0]
    moved = {"random": (np.r_[a, b[:1]], b), "later trials": (b, a), "another person": (np.r_[a, b[:1]], b[1:]),
             "another scene": (np.r_[a, b[:1]], b[1:])}[question]
    with pytest.raises(AssertionError):
        nb.kept_apart(data, pairs | {question: [moved]})


@pytest.mark.parametrize(("rows", "batch"), [(11, 32), (55, 32), (550, 64), (110, 12), (7, 64)])
def test_every_budget_gets_the_same_number_of_steps(rows, batch):
    nb.cfg = nb.SIZES["standard"]
    steps = nb.epochs_of(rows, batch) * max(1, round(rows / batch))
    net = nn.Linear(1, 2)
    data, seen = (torch.randn(rows, 1), torch.zeros(rows, dtype=torch.long)), []
    training.fit(net, lambda m, x, y: seen.append(len(x)) or nb.loss_of(m, x, y), data,
                 epochs=nb.epochs_of(rows, batch), batch=batch)
    nb.cfg = nb.SIZES["smoke"] | {"epochs": 2, "steps": 6}
    assert len(seen) == steps and abs(steps - nb.SIZES["standard"]["steps"]) <= 0.1 * steps


def gru_answer(way):
    """A learner's answer with one mistake, at any size."""
    def answer(u, h, W, U, a, b):
        if way == "zeros":
            return torch.zeros_like(h)
        if way == "h":
            return h
        return nb.gru_wrong(u, h, W, U, a, b, way)
    return answer


@pytest.mark.parametrize("way", ["z", "before", "around", "bias", "blocks"])
def test_a_wrong_gru_is_named_and_a_right_one_is_not_accused(way):
    assert nb.gru_agrees(gru_answer(None)) and nb.gru_agrees(gru_answer(None), 3, 8, 1)
    assert not nb.gru_agrees(gru_answer(way)) and not nb.gru_agrees(gru_answer(None), way=way)
    wrong = {"z": "swapped", "before": "not h before", "around": "not the whole sum", "bias": "b_n belongs",
             "blocks": "order r, z, n"}[way]
    assert wrong in nb.gru_named(gru_answer(way))


@pytest.mark.parametrize("way", ["zeros", "h"])
def test_no_points_for_zeros_or_the_old_state(way):
    assert not nb.gru_agrees(gru_answer(way)) and nb.gru_named(gru_answer(way)) == nb.NONE


def test_draw_takes_k_of_each():
    y = np.array([0] * 9 + [1] * 3 + [2] * 20)
    rows = nb.draw(np.arange(32), y, 5, np.random.default_rng(0))
    assert len(set(rows)) == len(rows) and np.bincount(y[rows]).tolist() == [5, 3, 5]


def small_chain(data, kind="stream"):
    S, y = nb.standardized(nb.sequences(data.X, kind), np.arange(len(data.y))), torch.tensor(data.y)
    rows, held, pool, test = nb.roles(data, 0, 1)
    return nb.train(S, y, rows, 0, held)[0], S, y, pool, test


def test_standardizing_uses_the_training_rows_alone():
    S = np.random.default_rng(0).normal(3, 2, (10, 4, 5, 6)).astype(np.float32)
    S[5:] += 100
    out = nb.standardized(S, np.arange(5))[:5]
    assert out.mean((0, 1, 3)).abs().max() < 1e-4 and (out.std((0, 1, 3)) - 1).abs().max() < 0.01


@pytest.mark.parametrize("parts", ["FC of m1", "FC of m2", "FC only", "all layers"])
@pytest.mark.parametrize("moving", [False, True])
def test_what_is_frozen_keeps_its_last_bit(parts, moving):
    chain, S, y, pool, _ = small_chain(recordings())
    before = {key: value.clone() for key, value in chain.state_dict().items()}
    tuned, history = nb.fine_tune(chain, S, y, pool[:12], nb.PARTS[parts], 0, moving)
    after = tuned.state_dict()
    for key, value in before.items():
        assert torch.equal(value, chain.state_dict()[key])  # the source model itself is not touched
        statistic = "running" in key or "batches" in key
        if not statistic and not key.startswith(nb.PARTS[parts]):
            assert torch.equal(value, after[key]), key
        if statistic:
            assert torch.equal(value, after[key]) != moving, key
    free = sum(p.numel() for n, p in chain.named_parameters() if n.startswith(nb.PARTS[parts]))
    assert history.trained == free > 0


def test_the_frozen_convolution_may_be_run_once():
    """FC only on cached features gives what the whole chain in training mode gives, but for dropout."""
    chain, S, y, pool, test = small_chain(recordings())
    with torch.no_grad():
        torch.testing.assert_close(chain.tail(chain.convolve(S[test])), chain(S[test]))
        chain.train()
        first = chain.convolve(S[test])
        torch.testing.assert_close(first, chain.eval().convolve(S[test]))  # averages stand still in training mode


def test_statistics_become_those_of_the_target():
    chain, S, y, pool, _ = small_chain(recordings())
    adapted = nb.with_statistics(chain, S[pool])
    with torch.no_grad():
        z = adapted.m1.conv[0](S[pool].flatten(0, 1))
    torch.testing.assert_close(adapted.m1.conv[1].running_mean, z.mean((0, 2)), rtol=1e-4, atol=1e-5)
    for (name, a), b in zip(chain.named_parameters(), adapted.parameters(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.slow
def test_an_easy_task_is_learned_and_transferred():
    nb.cfg = nb.SIZES["smoke"]
    data = recordings(n=192)
    raw, key = nb.sequences(data.X, "spectrum"), (0, 0, 0)
    right, cost, _ = nb.transfer(data, raw, "spectrum", (0, 1), key, (1, 5), more=True)
    nb.cfg = nb.SIZES["smoke"] | {"epochs": 2, "steps": 6}
    assert right["no adaptation", 0] > 90 and right["FC only", 5] > 90
    assert cost["FC only", 5][1] < cost["all layers", 5][1] < cost["from scratch", 5][1]
    assert {"FC of m1", "vote of m1", "backward direction only"} <= {name for name, _ in right}
    svm = nb.transfer_svm(data, nb.classical(data.X, True), (0, 1), key, (1, 5))
    assert svm["SVM on target", 5] > 90 and svm["majority", 0] == pytest.approx(50, abs=5)


def own_file(path, drop=(), **change):
    rng = np.random.default_rng(0)
    recording = np.repeat(np.arange(24), 70 + np.arange(24) % 3)
    arrays = {"amp": 5 + rng.standard_normal((len(recording), 8)).astype(np.float32), "recording": recording,
              "activity": np.array(["sit", "walk"])[recording % 2], "session": recording // 12} | change
    np.savez(path, **{key: value for key, value in arrays.items() if key not in drop})
    return datasets.load(path)


def test_a_person_s_own_file_is_cut_and_split_by_session(tmp_path):
    data = nb.from_own(own_file(tmp_path / "own.npz"))
    assert data.X.shape == (24, 70, 8) and data.names == ["sit", "walk"]
    assert data.scene.tolist() == [0] * 12 + [1] * 12 and data.y.tolist() == [0, 1] * 12
    by_time = nb.from_own(own_file(tmp_path / "own.npz", drop=("session",)))
    assert np.array_equal(by_time.scene, data.scene)
    mixed = np.random.default_rng(1).permutation(24)[np.repeat(np.arange(24), 70 + np.arange(24) % 3)]
    named = nb.from_own(own_file(tmp_path / "own.npz", recording=np.array([f"take {m:02d}" for m in mixed])))
    np.testing.assert_array_equal(named.X, data.X)  # the order of the file counts, not that of the names


def test_the_comparison_runs_on_a_person_s_own_file(tmp_path):
    nb.INPUTS, nb.SHOTS = ("stream", "spectrum"), (1, 5)
    table = nb.compare(nb.from_own(own_file(tmp_path / "own.npz")))
    assert {"no adaptation", "FC only, 1", "from scratch, 1", "SVM on target, 1", "majority"} <= set(table.index)
    assert list(table) == ["stream", "spectrum"] and table.notna().all(axis=None) and "FC only, 5" not in table.index


@pytest.mark.parametrize(("drop", "change", "words"), [
    (("activity",), {}, ["activity", "each packet", "recording"]),
    (("recording",), {}, ["recording", "each packet"]),
    (("amp",), {}, ["csi or amp"]),
    ((), {"activity": np.array(["sit", "walk"])[:1]}, ["activity"]),
    ((), {"activity": np.arange(1704) % 2}, ["activity", "changes within recording"]),
    ((), {"session": np.zeros(1704, int)}, ["three recordings", "source and target"]),
    ((), {"recording": np.arange(1704) // 20}, ["shortest recording", "4 packets", "60"]),
])
def test_a_wrong_layout_says_what_is_wrong(tmp_path, drop, change, words):
    with pytest.raises(ValueError) as error:
        nb.from_own(own_file(tmp_path / "own.npz", drop, **change))
    for word in words:
        assert word in str(error.value)


def test_labels_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="trial.*3 samples"):
        nb.Recordings(np.zeros((3, 70, 2)), np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(2), ["a"])


def test_predictions_do_not_depend_on_the_batch():
    chain, S, *_ = small_chain(recordings())
    torch.testing.assert_close(training.predict(chain, S, 7), training.predict(chain, S, 96), rtol=1e-4, atol=1e-5)
