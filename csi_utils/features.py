"""Processing of features that several notebooks share."""

import numpy as np


def coral(source, target, shrink=1.0):
    """`source` (n, d) moved to the mean and covariance of `target` (m, d): whitened, then coloured; (n, d) float.

    CORAL (Sun, Feng, Saenko, AAAI 2016), the plain competitor of every domain adaptation. `shrink` is added to both
    diagonals, in units of the features' variance, so that features with few rows have a root. Raises ValueError for
    parts of another width, or with fewer than two rows. First explained in notebooks/02_adaploc, section 4.
    """
    source, target = np.asarray(source), np.asarray(target)
    for name, rows in (("source", source), ("target", target)):
        if rows.ndim != 2 or len(rows) < 2 or rows.shape[1] != source.shape[-1]:
            raise ValueError(f"{name}: expected (rows, features) with two rows or more and one width for both, "
                             f"got source {source.shape} and target {target.shape}")

    def root(x, power):
        value, vector = np.linalg.eigh(np.atleast_2d(np.cov(x.T)) + shrink * np.eye(x.shape[1]))
        return (vector * value**power) @ vector.T

    return (source - source.mean(0)) @ root(source, -0.5) @ root(target, 0.5) + target.mean(0)
