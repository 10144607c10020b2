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


def pytest_collection_modifyitems(items):
    """What a fixture needs, its tests need: a browser, notebooks that are executed, a course made by nbgrader.

    The smoke run of each notebook comes first, the longest files next, so that the processes end together and nothing
    that needs all notebooks waits for them.
    """
    for item in items:
        for fixture, mark in (("chromium", "browser"), ("tiny_runs", "notebook"), ("tiny", "slow"), ("course", "slow")):
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(mark)
    slow = {_together(item.nodeid) for item in items if item.get_closest_marker("notebook")}
    items.sort(key=lambda item: (not _alone(item.nodeid), _together(item.nodeid) not in slow,
                                 "pages" in _together(item.nodeid)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """The tests of a file share costly fixtures, so one process gets them all; those of `pages` share across files."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return _together(nodeid)

    return Together(config, log)


def _together(nodeid):
    """What all tests have in common that go to one process with this one."""
    file = nodeid.split("::")[0]
    folder = file.rpartition("/")[0]
    return nodeid if _alone(nodeid) else folder if folder.endswith("pages") else file


def _alone(nodeid):
    return "::test_smoke_run[" in nodeid
