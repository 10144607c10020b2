"""What all tests share."""

import signal

import pytest


@pytest.fixture(autouse=True)
def signals():
    """A command of csi-papers takes SIGTERM to itself; whoever stops the tests means pytest."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)
