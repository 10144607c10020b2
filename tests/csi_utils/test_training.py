"""The fit loop against the usual DataLoader loop, and what it refuses."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from csi_utils import training


def net(seed=0, dropout=0.0):
    return training.seeded(lambda: nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3)),
                           seed)


def data(n=90, seed=0):
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.standard_normal((n, 5)), dtype=torch.float32)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()


def cross_entropy(model, x, y):
    return nn.functional.cross_entropy(model(x), y)


def test_it_is_the_usual_loop():
    """Same weights as a plain loop over a DataLoader that visits the rows in the same order."""
    x, y = data()
    ours, theirs = net(), net()
    training.fit(ours, cross_entropy, (x, y), epochs=3, batch=30, lr=1e-2, seed=7)
    order, optimizer = torch.Generator().manual_seed(7), torch.optim.Adam(theirs.parameters(), lr=1e-2)
    for _ in range(3):
        rows = torch.randperm(len(x), generator=order).tolist()
        for xb, yb in torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), 30, sampler=rows):
            optimizer.zero_grad()
            cross_entropy(theirs, xb, yb).backward()
            optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_same_seed_same_bits_whatever_happened_before():
    x, y = data()
    runs = []
    for noise in (0, 1):
        torch.manual_seed(noise)
        model = net(dropout=0.5)
        history = training.fit(model, cross_entropy, (x, y), epochs=2, seed=3)
        runs.append((history.loss, [p.detach().clone() for p in model.parameters()]))
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(a, b) for a, b in zip(runs[0][1], runs[1][1], strict=True))


def test_early_stopping_keeps_the_best_epoch():
    x, y = data()
    model, scores, states = net(), iter([3.0, 1.0, 2.0, 2.0, 0.0]), []

    def validate(model):
        assert not model.training
        states.append([p.detach().clone() for p in model.parameters()])
        return next(scores)

    history = training.fit(model, cross_entropy, (x, y), epochs=5, validate=validate, patience=2)
    assert history.validation == [3.0, 1.0, 2.0, 2.0] and history.epoch == 2
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), states[1], strict=True))


def test_frozen_parameters_stay_and_are_not_counted():
    x, y = data()
    model = net()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    history = training.fit(model, cross_entropy, (x, y), epochs=1)
    assert torch.equal(before, model[0].weight) and history.trained == 16 * 3 + 3


def test_no_batch_is_a_single_row():
    sizes = []

    def loss(model, x, y):
        sizes.append(len(x))
        return cross_entropy(model, x, y)

    training.fit(net(), loss, data(65), epochs=1, batch=64)
    assert sizes == [65]


@pytest.mark.parametrize(("change", "message"), [
    ({"data": (torch.zeros(3, 5), torch.zeros(2).long())}, "equal number of rows, got \\[3, 2\\]"),
    ({"data": (torch.zeros(0, 5),)}, "got \\[0\\] rows"), ({"epochs": 0}, "epochs and batch must be >= 1"),
    ({"patience": 3}, "patience"), ({"model": net().requires_grad_(False)}, "nothing to train")])
def test_bad_input_is_named(change, message):
    given = {"model": net(), "loss": cross_entropy, "data": data(), "epochs": 1} | change
    with pytest.raises(ValueError, match=message):
        training.fit(given.pop("model"), given.pop("loss"), given.pop("data"), **given)


def test_a_loss_that_is_not_finite_stops_the_run():
    with pytest.raises(FloatingPointError, match="nan in epoch 1 of 4"):
        training.fit(net(), lambda model, x, y: cross_entropy(model, x, y) * float("nan"), data(), epochs=4)


def test_the_threads_are_given_back():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        training.fit(net(), cross_entropy, data(), epochs=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_repeats_do_not_depend_on_the_processes():
    def run(seed):  # with all that it uses: a worker cannot import a test
        import torch

        torch.manual_seed(seed)
        model = torch.nn.Linear(20, 3)
        return model(torch.ones(4, 20)).sum().item(), torch.get_num_threads()

    alone, together = (training.repeat(run, range(3), jobs=jobs) for jobs in (1, 2))
    assert alone == [(pytest.approx(value, rel=1e-5), 1) for value, _ in together]


NOTEBOOK = """
import functools, os, types
import torch
from csi_utils import training

bridge = types.SimpleNamespace(classes=3, ops=4)  # two names that are also modules of torch

@functools.cache
def table(n):
    return torch.arange(n)

def run(seed):
    return os.getpid(), torch.sum(table(5)).item() + bridge.classes * 100 + bridge.ops * 1000 + seed

found = training.repeat(run, range(4), jobs=2)
assert [value for _, value in found] == [4310, 4311, 4312, 4313], found
assert os.getpid() not in {pid for pid, _ in found}
"""


@pytest.mark.slow
def test_a_notebook_s_function_goes_to_worker_processes_with_torch_classes_and_a_cache():
    """cloudpickle takes `bridge.classes` beside `torch` for the module torch.classes, which it cannot send."""
    said = subprocess.run([sys.executable, "-c", NOTEBOOK], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr


def test_predict_is_the_model_in_eval_mode():
    x, _ = data()
    model = net(dropout=0.5).train()
    # Not to the last bit: a matrix product may sum in another order for batches of another size.
    torch.testing.assert_close(training.predict(model, x, batch=7), model.eval()(x).detach(), rtol=1e-5, atol=1e-6)


def test_accuracy_is_the_share_of_right_answers_in_percent():
    x, y = torch.eye(3), torch.tensor([0, 1, 0])
    assert training.accuracy(nn.Identity(), (x, y)) == pytest.approx(100 * 2 / 3)


def test_target_statistics_are_those_of_the_target_and_nothing_else_changes():
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = data(120)[0] * 3 + 1
    adapted = training.with_target_statistics(model, x, batch=40)
    hidden = model[0](x).detach()
    torch.testing.assert_close(adapted[1].running_mean, hidden.mean(0))
    torch.testing.assert_close(adapted[1].running_var, torch.stack([h.var(0) for h in hidden.split(40)]).mean(0))
    torch.testing.assert_close(adapted[0].weight, before["0.weight"])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items()) and not adapted.training


def test_batches_shuffle_each_side_anew_and_do_not_repeat_a_row_before_it_is_used_up():
    found = list(training.batches((10, 3), 4, 5, seed=1))
    assert [(len(a), len(b)) for a, b in found] == [(4, 3)] * 5
    first = [torch.cat([found[k][0], found[k + 1][0]]) for k in (0, 2)]  # 8 of 10 rows, then a new order
    assert all(len(set(rows.tolist())) == 8 for rows in first)
    assert not torch.equal(*first)
    assert all(sorted(b.tolist()) == [0, 1, 2] for _, b in found)
    again = list(training.batches((10, 3), 4, 5, seed=1))
    assert all(torch.equal(a, b) for x, y in zip(found, again, strict=True) for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize(("sizes", "batch", "steps"), [((), 4, 1), ((5, 0), 4, 1), ((5,), 0, 1), ((5,), 4, 0)])
def test_batches_refuse_empty_sides(sizes, batch, steps):
    with pytest.raises(ValueError, match="got"):
        next(training.batches(sizes, batch, steps, 0))
