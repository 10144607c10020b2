"""What all tests share."""

import os
import signal

import pytest

# Before numpy and torch are imported: small matrices on many threads only get in each other's way, above all when
# the tests run in two processes. A kernel of the runner computes on one thread too.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")


@pytest.fixture(autouse=True)
def signals():
    """A command of csi-papers takes SIGTERM to itself; whoever stops the tests means pytest."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """What a fixture needs, its tests need: a browser, notebooks that are executed, a course made by nbgrader.

    The tests of a file share costly fixtures, so they stay in one process; those of `pages` share them across files.
    The smoke run of each notebook stands alone and comes first, the longest next, so that the processes end together
    and nothing that needs all notebooks waits for them.
    """
    for item in items:
        for fixture, mark in (("chromium", "browser"), ("tiny_runs", "notebook"), ("tiny", "slow"), ("course", "slow")):
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(mark)
        if not _alone(item):
            item.add_marker(pytest.mark.xdist_group(_group(item)))
    slow = {_group(item) for item in items if item.get_closest_marker("notebook")}
    items.sort(key=lambda item: (not _alone(item), _group(item) not in slow, "pages" in _group(item)))


def _alone(item):
    return getattr(item, "originalname", "") == "test_smoke_run"


def _group(item):
    return str(item.path.parent if item.path.parent.name == "pages" else item.path)
