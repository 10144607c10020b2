"""What the runner asks of a notebook; the notebooks that it refuses are in tests/bad_notebooks."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from csi_papers.run.notebook import reading_minutes


def test_reading_minutes_count_words_visible_code_and_figures():
    prose = new_markdown_cell("word " * 400 + "![A drawing](attachment:a.png)")
    code = new_code_cell("x" * 800 + "\n\n" + "y" * 40 + "   ")
    assert reading_minutes(new_notebook(cells=[prose])) == pytest.approx(402 / 200 + 1)  # its text has two words
    assert reading_minutes(new_notebook(cells=[code])) == pytest.approx(1)
    collapsed = new_code_cell("x" * 840, metadata={"jupyter": {"source_hidden": True}})
    hidden = new_code_cell("plots.show(fig, alt='')", metadata={"tags": ["figure", "hide-input"]})
    solution = new_code_cell("### BEGIN SOLUTION\n" + "x" * 840 + "\n### END SOLUTION\n" + "y" * 420)
    assert reading_minutes(new_notebook(cells=[collapsed, hidden, solution])) == pytest.approx(1 + 0.5)
