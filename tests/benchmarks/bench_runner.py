"""What the strict runner costs: seconds for a notebook whose kernel has next to nothing to do. Run with
`make benchmark`."""

import bad_notebooks
import pytest

from csi_papers.run.runner import run_notebook


@pytest.mark.benchmark
@pytest.mark.notebook
def test_seconds_for_a_notebook_that_does_nothing(tmp_path, capsys):
    notebook = bad_notebooks.build("good", tmp_path)
    seconds = sorted(run_notebook(notebook, tmp_path / "out")["seconds"] for _ in range(5))
    with capsys.disabled():
        print(f"\nrunner: {seconds[0]:.1f} s at best of five, {seconds[2]:.1f} s in the middle")
