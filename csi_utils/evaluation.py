"""Localization error, and intervals over repeats."""

import numpy as np


def distance(guess, xy):
    """Localization error in m, (n,), of estimates (n, 2) at positions (n, 2).

    First explained in notebooks/01, section 6.
    """
    return np.linalg.norm(np.asarray(guess) - xy, axis=-1)


def interval(values):
    """Half width of the 95 % interval of the mean over the first axis (Student's t), the repeats.

    It speaks of what the repeats redraw, and of nothing else. Raises ValueError for fewer than two repeats.
    First explained in notebooks/01, section 6.
    """
    from scipy import stats

    values = np.asarray(values, float)
    if len(values) < 2:
        raise ValueError(f"values: an interval needs two repeats or more, got {len(values)}")
    return stats.t.ppf(0.975, len(values) - 1) * np.std(values, 0, ddof=1) / np.sqrt(len(values))


def shown(values, form="{:.2f} ± {:.2f} m"):
    """Mean and interval of repeats, as text."""
    return form.format(np.mean(values), interval(values))
