"""The same seed gives the same values: every notebook twice at the smoke profile, and what differs is printed. Run
with `make benchmark`.

Two processes need not agree to the last bit (a processor may sum in another order where arrays lie otherwise in
memory), so that only a difference that a person could see is an error.
"""

from pathlib import Path

import pytest

from csi_papers.run.runner import run_notebook

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
pytestmark = [pytest.mark.benchmark, pytest.mark.notebook]


def values(result):
    return {record["id"]: record["value"] for record in result["claims"] if record["value"] is not None}


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.rglob("*.ipynb")), ids=lambda path: path.stem)
def test_the_same_seed_gives_the_same_values(path, tmp_path, capsys):
    first, second = (values(run_notebook(path, tmp_path / name, measure=True)) for name in "ab")
    other = [id for id in first if first[id] != second.get(id)]
    with capsys.disabled():
        print(f"\n{path.stem}: {len(first)} values, {len(other)} with other bits: {', '.join(other) or 'none'}")
    assert first and second == pytest.approx(first, rel=0.01)
