"""The same seed gives the same bits: every notebook twice at the smoke profile. Run with `make benchmark`."""

from pathlib import Path

import pytest

from csi_papers.run.runner import run_notebook

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
pytestmark = [pytest.mark.benchmark, pytest.mark.notebook]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.rglob("[0-9][0-9]_*.ipynb")), ids=lambda path: path.stem)
def test_the_same_seed_gives_the_same_bits(path, tmp_path):
    runs = [run_notebook(path, tmp_path / name, measure=True)["claims"] for name in ("one", "two")]
    first, second = ([(record["id"], record["value"]) for record in records] for records in runs)
    assert first and first == second
