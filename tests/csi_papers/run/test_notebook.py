"""What the runner asks of a notebook before it runs, and of its parameters."""

import pytest
from bad_notebooks import build
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from csi_papers.run import notebook as checks
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


REFUSED = {
    "bash_cell": "a shell line or a magic: %%bash",
    "deleted_cell": "the tag injected-parameters",
    "empty": "the notebook is empty",
    "magic": "a shell line or a magic: %pip",
    "parameters_derived": "derives scale = 1.0 \\+ seed, expected a literal",
    "parameters_doubled": "2 cells have the tag parameters",
    "parameters_missing": "0 cells have the tag parameters",
    "parameters_not_first": "holds the parameters, expected in the first code cell",
    "raises_exception": "the tag raises-exception, which hides an error",
    "raw_cell": "a raw cell, which never runs",
    "shell_line": "a shell line or a magic: !false",
    "skipped_cell": "the tag skip-execution",
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_anything_runs(name, tmp_path):
    with pytest.raises(checks.Refused, match=REFUSED[name]):
        checks.check(checks.read(build(name, tmp_path)))


@pytest.mark.parametrize("source", ["seed = 0\nprint(1)", "a = b = 1", "a, b = 1, 2", "a += 1", "import os",
                                    "seed = 0\nseed = 1", "x = [i for i in 'a']", "x = f'{1}'", "x: int"])
def test_only_literals_are_parameters(source):
    with pytest.raises(checks.Refused):
        checks.literals('profile = "smoke"\nsource = "auto"\n' + source)


def test_a_parameter_from_the_command_line_is_read_as_its_default_s_type():
    assert checks.fit({"flag": False, "names": [], "path": None}, {"flag": "true", "names": "['a']", "path": "x"}) == {
        "flag": True, "names": ["a"], "path": "x"}
