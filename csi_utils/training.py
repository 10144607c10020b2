"""One fit loop for arrays that fit in memory, and repetitions over seeds in parallel.

    history = training.fit(net, lambda net, x, y: cross_entropy(net(x), y), (x, y), epochs=30, seed=0)
    results = training.repeat(one_run, range(8))

First explained in notebooks/02_adaploc, section 4.
"""

import copy
import copyreg
import functools
import importlib
import itertools
import os
import sys
import time
import types
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch


@dataclass
class History:
    """What a fit did."""

    trained: int  # number of free parameters
    loss: list = field(default_factory=list)  # one number an epoch
    validation: list = field(default_factory=list)  # the same, empty without `validate`
    epoch: int = 0  # whose weights the model holds, from 1
    seconds: float = 0.0


def device():
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def one_thread():
    """Small networks are as fast on one thread, and the number of threads changes the last bits of a result."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def seeded(make, seed):
    """make() with torch's random state set to `seed`, and the state restored: a network with known weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def fit(model, loss, data, *, epochs, batch=64, lr=1e-3, weight_decay=0.0, seed=0, validate=None, patience=None):
    """Train the free parameters of `model` with Adam; returns a History, and leaves the model in eval mode.

    loss(model, *batch) gives a scalar tensor; data: tensors with one row a sample, (n, ...), on the model's device.
    Rows are shuffled by `seed`, as dropout is, in each epoch and cut into round(n / batch) batches of nearly equal
    size: none is a stray single row. validate(model), a number where lower is better, is asked after each epoch in eval
    mode: the model then ends with the weights of its best epoch, and with `patience` the fit stops after that many
    epochs without a better one. Raises ValueError for rows that do not match or nothing to train, FloatingPointError
    when the loss is not finite.
    """
    sizes = [len(part) for part in data]
    if len(set(sizes)) != 1 or not sizes[0]:
        raise ValueError(f"data: expected tensors with one equal number of rows, got {sizes} rows")
    if not (epochs >= 1 and batch >= 1):
        raise ValueError(f"epochs and batch must be >= 1, got {epochs} and {batch}")
    if patience is not None and validate is None:
        raise ValueError("patience: nothing to wait for without validate")
    free = [p for p in model.parameters() if p.requires_grad]
    if not free:
        raise ValueError("model: every parameter is frozen, there is nothing to train")
    optimizer = torch.optim.Adam(free, lr=lr, weight_decay=weight_decay, fused=True)
    order = torch.Generator().manual_seed(seed)
    history, best = History(sum(p.numel() for p in free)), None
    cuts, start = max(1, round(sizes[0] / batch)), time.perf_counter()
    with one_thread(), torch.random.fork_rng():
        torch.manual_seed(seed)
        for epoch in range(1, epochs + 1):
            model.train()
            rows = torch.randperm(sizes[0], generator=order).to(data[0].device)
            # One gather an epoch: the batches are views of it.
            shuffled = [part.index_select(0, rows).tensor_split(cuts) for part in data]
            total = torch.zeros((), device=data[0].device)
            for parts in zip(*shuffled, strict=True):
                optimizer.zero_grad()
                value = loss(model, *parts)
                value.backward()
                optimizer.step()
                total += value.detach() * len(parts[0])  # no .item(): a GPU would wait for it
            history.loss.append(total.item() / sizes[0])
            if not torch.isfinite(total):
                raise FloatingPointError(f"the loss is {history.loss[-1]} in epoch {epoch} of {epochs}")
            history.epoch = epoch
            if validate is None:
                continue
            model.eval()
            with torch.no_grad():
                history.validation.append(float(validate(model)))
            if best is None or history.validation[-1] < best[0]:
                best = history.validation[-1], epoch, copy.deepcopy(model.state_dict())
            elif patience is not None and epoch - best[1] >= patience:
                break
        if best is not None:
            _, history.epoch, weights = best
            model.load_state_dict(weights)
    model.eval()
    history.seconds = time.perf_counter() - start
    return history


def batches(sizes, batch, steps, seed):
    """Yield `steps` tuples of row numbers, one int64 tensor (batch,) for each of `sizes`: batches from several domains.

    Each side is shuffled by its own stream of `seed`, and anew when fewer than `batch` rows are left, so that a small
    domain is seen more often than a large one. A side with fewer rows than `batch` gives all its rows.
    Raises ValueError for an empty side or a batch or steps below 1. First explained in notebooks/04, section 5.
    """
    if not all(size >= 1 for size in sizes) or not sizes:
        raise ValueError(f"sizes: every side needs a row or more, got {list(sizes)}")
    if not (batch >= 1 and steps >= 1):
        raise ValueError(f"batch and steps must be >= 1, got {batch} and {steps}")

    def rows(size, stream):
        while True:
            order, each = torch.randperm(size, generator=stream), min(batch, size)
            yield from order[:size // each * each].split(each)

    sides = [rows(size, torch.Generator().manual_seed(seed + 7919 * k)) for k, size in enumerate(sizes)]
    yield from itertools.islice(zip(*sides, strict=True), steps)


def predict(model, x, batch=1024):
    """model(x) in eval mode and without gradients, in batches: a CPU tensor (n, ...)."""
    model.eval()
    with torch.no_grad(), one_thread():
        return torch.cat([model(part) for part in x.split(batch)]).cpu()


def accuracy(model, part):
    """Share of the rows of part = (x, y) whose most probable class is right, in %. See notebooks/04_dsan, section 6."""
    x, y = part
    return 100 * (predict(model, x).argmax(1) == y.cpu()).double().mean().item()


def with_target_statistics(model, x, batch=256):
    """A copy of the model whose batch-norm layers hold the mean and variance of x (n, ...): no label, no gradient.

    The control that every domain adaptation needs, for it can be half of the gain. The statistics are plain means
    over batches of nearly equal size. First explained in notebooks/02_adaploc, section 4.
    """
    model = copy.deepcopy(model).train()
    for layer in model.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.eval()
        elif isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.reset_running_stats()
            layer.momentum = None  # the plain mean over the batches
    with torch.no_grad(), one_thread():
        for part in x.tensor_split(max(1, round(len(x) / batch))):
            model(part)
    return model.eval()


def workers():
    """How many processes a notebook may start: 1 with a GPU, else CSI_WORKERS (the runner sets it when several
    notebooks share the cores), else the cores that this process may use."""
    from joblib import cpu_count

    return 1 if torch.cuda.is_available() else int(os.environ.get("CSI_WORKERS") or cpu_count())


def repeat(run, seeds, jobs=None, label="repeats"):
    """[run(seed) for seed in seeds], by processes of one thread each, with a progress bar.

    run: a function of a notebook, or any callable; what it uses is sent along. jobs: processes (default `workers`).
    The results do not depend on jobs.
    """
    from tqdm import tqdm

    seeds = list(seeds)
    jobs = min(jobs or workers(), len(seeds))
    if jobs <= 1:
        return [_alone(run, seed) for seed in tqdm(seeds, desc=label, leave=False)]
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky import get_reusable_executor

    _help_cloudpickle()
    try:
        with parallel_config(backend="loky", inner_max_num_threads=1):
            found = Parallel(n_jobs=jobs, return_as="generator")(delayed(_alone)(run, seed) for seed in seeds)
            return list(tqdm(found, total=len(seeds), desc=label, leave=False))
    finally:
        get_reusable_executor().shutdown(wait=True)  # no process is left when a notebook ends


def _alone(run, seed):
    with one_thread():
        return run(seed)


def _help_cloudpickle():
    """Teach it two kinds of things that a notebook's functions lead to, and that it cannot send by itself.

    Modules of a class of their own, torch.classes and torch.ops among them, go by name: cloudpickle takes an
    attribute's name in a function's code (`bridge.classes` beside `torch`) for the submodule of that name. Functions of
    a notebook behind functools.cache go as they are, with an empty cache.
    """
    for module in list(sys.modules.values()):
        if isinstance(module, types.ModuleType) and type(module) is not types.ModuleType:
            copyreg.pickle(type(module), lambda module: (importlib.import_module, (module.__name__,)))
    copyreg.pickle(functools._lru_cache_wrapper, _without_its_cache)


def _without_its_cache(cached):
    here = cached.__module__ == "__main__"
    return (functools.cache, (cached.__wrapped__,)) if here else cached.__qualname__
