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
    """What a fixture needs, its tests need: a browser, notebooks that are executed, a course made by nbgrader."""
    for item in items:
        for fixture, mark in (("chromium", "browser"), ("tiny_runs", "notebook"), ("tiny", "slow"), ("course", "slow")):
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(mark)
    # The longest first, so that the processes end together.
    items.sort(key=lambda item: item.get_closest_marker("notebook") is None)
