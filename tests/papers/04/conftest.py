"""What the tests of notebook 04 and of its deeper notebook share."""

from types import SimpleNamespace

import pytest
import torch

from csi_utils import training


def which_part(model, part):
    """In place of an accuracy: 1000 times the part's value, and its number of rows."""
    return round(part[0].mean().item() * 1000) + len(part[0]) / 1e4


@pytest.fixture
def digit_job(monkeypatch):
    """digit_job(notebook, what, fail=False, **options): its on_digits on parts that their values tell apart, without
    training. Returns what was asked for, and the result. fail: every training ends with a loss that is not finite.
    """
    level = {"source": 0.1, "held": 0.2, "pool": 0.3, "test": 0.4}
    pair = {name: (torch.full((1200, 1, 16, 16), value), torch.full((1200,), k))
            for k, (name, value) in enumerate(level.items())}

    def job(notebook, what, fail=False, **options):
        asked = {"adapt": [], "statistics": []}

        def adapt(model, loss, source, pool, epochs, steps, seed, talk, watch=None):
            means = source[0].mean().item(), pool[0].mean().item()
            asked["adapt"].append(SimpleNamespace(
                model=model, loss=loss, means=means, pool=pool, rest=[epochs, steps, seed, talk]))
            if fail:
                raise FloatingPointError
            return [watch(model), watch(model)] if watch else []

        def statistics(model, x):
            asked["statistics"].append((len(x), x.mean().item()))
            return model

        monkeypatch.setattr(notebook, "adapt", adapt)
        monkeypatch.setattr(training, "accuracy", which_part)
        monkeypatch.setattr(training, "with_target_statistics", statistics)
        return asked, notebook.on_digits({"there": pair}, 1003, what, {"epochs": 2, "steps": 4}, **options)

    return job
