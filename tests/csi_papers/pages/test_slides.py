"""Slides: what the rule makes of cells, and that every slide of every deck fits and needs no network."""

from pathlib import Path

import browser
import executed
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from csi_papers import __main__
from csi_papers.pages import contents, passages, slides
from csi_utils import claims

NOTEBOOKS = sorted((Path(__file__).resolve().parents[3] / "notebooks").glob("*.ipynb"))
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
MARK = {"slideshow": {"slide_type": "slide"}}
RECORD = {"id": "C1.a", "says": "It works", "what": "error", "value": 1.5, "unit": "m", "interval": 0.1,
          "dataset": "sim", "verdict": "holds here", "paper_value": 1.2, "evidence": "paper", "controls": {},
          "band": None}

# Too small or outside: 24 px is the least that is read from the back of a room; figures have sizes of their own.
SEEN = """() => {
  const slide = Reveal.getCurrentSlide(), wrong = []
  const walker = document.createTreeWalker(slide, NodeFilter.SHOW_TEXT)
  for (let node; node = walker.nextNode();) {
    const parent = node.parentElement
    if (!node.data.trim() || parent.closest("aside, mjx-container")) continue
    const size = parseFloat(getComputedStyle(parent).fontSize)
    if (size < 24) wrong.push(size + " px: " + node.data.slice(0, 40))
  }
  for (const seen of slide.querySelectorAll("h1, h2, p, li, th, td, img, svg, pre")) {
    if (seen.closest("aside")) continue
    const place = seen.getBoundingClientRect()
    if (place.left < 0 || place.top < 0 || place.right > 1280 || place.bottom > 720)
      wrong.push(seen.tagName + " ends at " + [place.right, place.bottom].map(Math.round) + ": " +
                 seen.textContent.slice(0, 40))
  }
  for (const formula of slide.querySelectorAll("mjx-container[display=true]"))
    if (!formula.closest("aside") && parseFloat(getComputedStyle(formula).fontSize) < 22)
      wrong.push("a formula shrunk to " + getComputedStyle(formula).fontSize)
  for (const image of slide.querySelectorAll("img")) {
    const place = image.getBoundingClientRect()
    if (!image.alt.trim() || place.height < 250) wrong.push("an image of height " + place.height + ", alt " + image.alt)
  }
  return wrong
}"""


@pytest.fixture(scope="module")
def decks(tmp_path_factory):
    """stem -> (executed notebook, path of its deck)."""
    if not NOTEBOOKS:
        pytest.skip("notebooks/ has no notebook yet")
    for path in NOTEBOOKS:
        executed.smoke(path, tmp_path_factory)
    folder, out = executed.folder(tmp_path_factory), tmp_path_factory.mktemp("slides")
    made = slides.write(folder, out)
    return {path.stem: (nbformat.read(folder / f"{path.stem}.ipynb", as_version=4), path) for path in made}


@pytest.mark.notebook
@pytest.mark.timeout(1500)
def test_every_notebook_has_a_deck_of_about_fifteen_slides(decks):
    assert sorted(decks) == [path.stem for path in NOTEBOOKS]
    for stem, (nb, path) in decks.items():
        made = slides.compose(nb)
        assert 10 <= len(made) <= 22, f"{stem}: {len(made)} slides, expected about fifteen"
        assert made[0].kind == "title" and made[-1].kind == "ledger", stem
        assert sum(slide.figure is not None for slide in made) >= 4, f"{stem}: fewer than four drawings and figures"
        assert sum(kind == "equation" for slide in made for kind, _ in slide.blocks) >= 3, f"{stem}: few equations"
        assert not any("http" in line and ("src=" in line or "href=" in line)
                       for line in path.read_text(encoding="utf-8").split("<script>")[0].splitlines())


@pytest.mark.notebook
@pytest.mark.timeout(1500)
def test_every_slide_fits_and_is_readable_from_the_back(decks):
    with browser.chromium() as chromium:
        for stem, (_, path) in decks.items():
            page, asked, errors = browser.visit(chromium, path)
            page.wait_for_selector("body[data-ready]")
            for number in range(page.evaluate("Reveal.getTotalSlides()")):
                page.evaluate(f"Reveal.slide({number}, 0, 99)")
                wrong = page.evaluate(SEEN)
                assert not wrong, f"{stem}, slide {number + 1}: {wrong[:3]}"
            assert page.evaluate("document.querySelectorAll('mjx-container').length") > 5, f"{stem}: no equations"
            assert not page.evaluate("document.querySelectorAll('[data-mml-node=merror]').length"), stem
            assert not asked and not errors, f"{stem}: {asked} {errors}"
            page.close()


# The rule, on made-up cells.

def test_sentences_end_where_a_reader_says():
    text = "See Eq. (3) and e.g. $a. B$ here. Not **bold. An end.** It is `x. Y` (one. Two) so. What? Yes: One more."
    assert passages.sentences(text) == ["See Eq. (3) and e.g. $a. B$ here.", "Not **bold. An end.**",
                                      "It is `x. Y` (one. Two) so.", "What?", "Yes: One more."]
    assert passages.sentences("**Limits.** All is simulated. More.") == ["**Limits.** All is simulated.", "More."]
    assert passages.first("A. Bcd efg. Hij klm.", 9) == "A. Bcd efg."
    assert passages.sentences("") == []


def test_blocks_know_what_they_are():
    cell = ("## Title\ntext\n\n$$x$$\n\n- a\n- b\n\n![alt](a.svg)\n\n| a |\n|---|\n\n```\n## no\n```\n\n"
            "<details>\n\nno\n</details>")
    assert [kind for kind, _ in passages.blocks(cell)] == ["heading", "text", "equation", "list", "image", "table"]


def notebook(*cells):
    card = "# 01 · A title\n\n| | |\n|---|---|\n| **Paper** | P |\n| **Claim** | C. |\n| **Verdict** | V. |\n"
    return new_notebook(cells=[new_markdown_cell(card, metadata=MARK), *cells])


def test_a_long_cell_becomes_its_heading_first_sentences_and_equations():
    filler = "Another sentence that says more. " * 30
    cell = new_markdown_cell("Of the figure above.\n\n### 5.1 Name\n\n"
                             f"The lead. {filler}It is\n\n$$x=1 \\tag{{1}}$$\n\n**Note.** {filler}\n\n"
                             "In the cells below.\n\n### 5.2 More\n\n$$y$$", metadata=MARK)
    made = slides.compose(notebook(cell))[2:]
    assert [slide.title for slide in made] == ["5.1 Name", "5.2 More"]
    text = "\n".join(text for _, text in made[0].blocks)
    assert text.startswith("The lead.") and "\\tag{1}" in text and len(text) < 900
    assert "Of the figure" not in text and "below" not in text and "In the cells below." in made[0].notes


def test_a_figure_stands_between_its_question_and_its_answer():
    picture = new_output("display_data", {"image/png": PIXEL}, metadata={"image/png": {"alt": "a dot"}})
    made = slides.compose(notebook(
        new_markdown_cell("## 4. Known truth\n\n**Where is it?** Some words. Look at the dot.", metadata=MARK),
        new_code_cell("plots.show()", outputs=[picture], metadata=MARK),
        new_markdown_cell("In the middle. And more.")))[2:]
    assert len(made) == 1 and made[0].title == "4. Known truth" and made[0].figure[1] == "a dot"
    assert made[0].blocks[0][1].startswith("**Where is it?**") and made[0].takeaway.startswith("In the middle.")


def test_the_ledger_is_a_table_of_claims_with_data_beside_every_number():
    many = [RECORD | {"id": f"C2.{n}", "verdict": "undecided"} for n in range(5)]
    out = new_output("display_data", {claims.MIME: {"records": [RECORD, *many]}})
    made = slides.compose(notebook(new_markdown_cell("## 12. Results"),
                                   new_code_cell("ledger.close()", outputs=[out], metadata=MARK)))[2:]
    assert [row["id"] for row in made[0].table] == ["C1", "C2"] and made[0].table[0]["paper"] == "1.2 m"
    assert made[0].table[0]["ours"] == ["✓ 1.5 ± 0.1 m, sim"] and made[0].table[1]["ours"] == ["5 measures: ? 5"]
    assert "✓ holds here" in made[0].takeaway


def test_a_marked_cell_without_anything_to_show_gives_no_slide():
    out = new_output("stream", text="not used in this run")
    assert len(slides.compose(notebook(new_code_cell("x", outputs=[out], metadata=MARK)))) == 2


def test_without_executed_notebooks_it_says_which_command_makes_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(contents, "ROOT", tmp_path)
    for command in ("slides", "book"):
        assert __main__.main([command]) == 1
        assert "make run" in capsys.readouterr().err
        assert __main__.main([command, str(tmp_path / "nothing")]) == 1
        assert "make run" in capsys.readouterr().err
