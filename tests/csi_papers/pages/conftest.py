"""Results to make pages of: two tiny notebooks, of which one fails; the good one has slides, figures and symbols."""

import json

import bad_notebooks
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from csi_papers.run.runner import run_many

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SLIDE = {"slideshow": {"slide_type": "slide"}}
CARD = """# 42 · Good <b>&</b> plain: a tiny paper

| | |
|---|---|
| **Paper** | Nobody, *Nothing*, 2026. |
| **Claim** | The answer is 42. It took a while. |
| **Prerequisites** | None. |
| **You will be able to** | count. |
| **Time** | A minute. It runs in a second (`smoke`), two (`standard`). |
| **Data** | None. |"""


def figure(alt, **metadata):
    """An executed code cell with a picture of one pixel, and a line that it printed."""
    picture = new_output("display_data", {"image/png": PIXEL}, metadata={"image/png": {"alt": alt}})
    return new_code_cell("plots.show(fig, alt='...')", metadata=metadata,
                         outputs=[new_output("stream", text="printed"), picture])


@pytest.fixture(scope="session")
def tiny_runs(tmp_path_factory):
    """A folder of results: good (a notebook of the second edition) and error."""
    notebooks, folder = tmp_path_factory.mktemp("tiny"), tmp_path_factory.mktemp("results")
    run_many([bad_notebooks.build(name, notebooks) for name in ("good", "error")], folder, quiet=True)
    assert json.loads((folder / "good.json").read_text(encoding="utf-8"))["status"] == "ok"
    nb = nbformat.read(folder / "good.ipynb", as_version=4)
    nb.metadata["edition"] = 2
    nb.cells[0].source = CARD
    ledger = nb.cells.pop()
    ledger.metadata.update(SLIDE)
    drawing = new_markdown_cell("## 2. The idea\n\n![A drawing of a dot](attachment:a.png)", metadata=SLIDE)
    drawing["attachments"] = {"a.png": {"image/png": PIXEL}}
    nb.cells += [
        drawing,
        new_markdown_cell("## 4. The method\n\nInline $a_1 < b$ and\n\n$$x^2 \\tag{3}$$", metadata=SLIDE),
        new_markdown_cell("Words for the speaker alone."),
        new_code_cell("hidden = 'collapsed code'", metadata={"jupyter": {"source_hidden": True}}),
        figure("the first figure of all, with a dot"),
        figure('the "main" <one>, which has a dot too', tags=["main-figure"], **SLIDE),
        new_markdown_cell("## 9. What we learned\n\n### Symbols\n\n| symbol | meaning |\n|---|---|\n| $a$ | a letter |"
                          "\n\nAfter the table."),
        ledger]
    nbformat.write(nb, folder / "good.ipynb")
    return folder
