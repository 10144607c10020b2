"""The same seed gives the same bits: every notebook twice at the smoke profile. Run with `make benchmark`."""

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))
from notebook_lint import recorded_twice  # noqa: E402 - beside the tests, not a package

pytestmark = [pytest.mark.benchmark, pytest.mark.notebook]


@pytest.mark.parametrize("path", sorted((TESTS.parent / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_same_seed_gives_the_same_bits(path, tmp_path):
    first, second = recorded_twice(path, tmp_path, measure=True)
    assert first and first == second
