"""Slides: which cells they are, and that every slide of every deck fits and needs no network."""

import html
import re

import browser
import executed
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from csi_papers import __main__
from csi_papers.pages import contents, slides

NOTEBOOKS = sorted(executed.NOTEBOOKS.glob("*.ipynb"))
SLIDE = {"slideshow": {"slide_type": "slide"}}
OK = {"status": "ok", "profile": "standard", "seed": 3}

# Outside, or too small: 22 px is the least that is read from the back of a room; figures have sizes of their own.
SEEN = """() => {
  const slide = Reveal.getCurrentSlide(), wrong = []
  if (slide.scrollHeight > slide.clientHeight + 1) wrong.push(slide.scrollHeight + " px high")
  if (slide.scrollWidth > slide.clientWidth + 1) wrong.push(slide.scrollWidth + " px wide")
  const walker = document.createTreeWalker(slide, NodeFilter.SHOW_TEXT)
  for (let node; node = walker.nextNode();) {
    const parent = node.parentElement
    if (!node.data.trim() || parent.closest("aside, math") || !parent.getClientRects().length) continue
    const size = parseFloat(getComputedStyle(parent).fontSize)
    if (size < 22) wrong.push(size + " px: " + node.data.slice(0, 40))
  }
  for (const image of slide.querySelectorAll("img")) {
    if (image.closest("aside")) continue
    const place = image.getBoundingClientRect()
    if (!image.alt.trim() || place.height < 250 || place.bottom > 720)
      wrong.push("an image of height " + place.height + ", alt " + image.alt)
  }
  return wrong
}"""


def good(folder):
    return nbformat.read(folder / "good.ipynb", as_version=4)


def sections(deck):
    """The slides of a deck, as HTML without the speaker's notes."""
    parts = re.split(r"<section\s*>\s*<section\s*>", re.sub(r"<aside.*?</aside>", "", deck, flags=re.S))
    return [part.split("</section>")[0] for part in parts[1:]]


def test_marked_cells_are_slides_without_their_code_and_the_rest_is_for_the_speaker(tiny_runs):
    deck = slides.deck(good(tiny_runs), OK)
    shown = sections(deck)
    assert len(shown) == 5  # title, drawing, formula, figure, ledger
    assert "42 · Good" in shown[0] and "Nobody" in shown[0] and "profile standard, seed 3" in shown[0]
    assert 'alt="A drawing of a dot"' in shown[1] and "<math" in shown[2]
    assert 'the "main" <one>, which has a dot too' in html.unescape(shown[3])
    assert "plots" not in deck and "collapsed code" not in deck and "the first figure" not in deck
    assert "Words for the speaker alone." in deck and not any("speaker alone" in part for part in shown)
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=.http", deck)


def test_the_ledger_is_a_table_in_the_columns_that_are_read_from_the_back(tiny_runs):
    table = sections(slides.deck(good(tiny_runs), OK))[-1]
    heads = re.findall(r"<th scope[^>]*>(.*?)</th>", table)
    assert heads == ["row", "the paper says", "its number", "ours", "verdict"]
    assert re.findall(r"<td>(.*?)</td>", table) == [
        "C1.answer", "The answer is 42", "42 s", "42\N{NO-BREAK SPACE}s", "✓ holds here"]


def test_what_the_papers_and_we_say_stands_once_for_all_its_rows(tiny_runs):
    out = next(data for cell in good(tiny_runs).cells if cell.cell_type == "code" for out in cell.outputs
               for kind, data in out.get("data", {}).items() if "claims" in kind)
    record = out["records"][0]
    ours = record | {"kind": "addition", "id": "O1", "says": "Is it so?"}
    first, second = slides.ledger([record, record | {"id": "C1.b"}, ours, record | {"verdict": "not run"}])
    assert first.count("The answer is 42") == 1 and first.count("<tr>") == 3
    assert "our question" in second and "the paper says" not in second
    (bare,) = slides.ledger([record | {"paper_value": None}])
    assert "its number" not in bare and bare.count("<th ") == 4  # a column without any number is not shown


def test_beside_a_picture_no_table_is_shown(tiny_runs):
    nb = good(tiny_runs)
    (drawn,) = (cell for cell in nb.cells if cell.metadata.get("slideshow") and cell.get("outputs")
                and any("image/png" in out.get("data", {}) for out in cell.outputs))
    drawn.outputs.append(new_output("display_data", {"text/html": "<table><tr><td>beside</td></tr></table>"}))
    assert "beside" not in slides.deck(nb, OK)


def test_a_long_ledger_is_one_slide(tiny_runs):
    out = next(data for cell in good(tiny_runs).cells if cell.cell_type == "code" for out in cell.outputs
               for kind, data in out.get("data", {}).items() if "claims" in kind)
    (only,) = slides.ledger([out["records"][0] | {"id": f"C1.{number}"} for number in range(9)])
    assert only.count("<tr>") == 7 and only.endswith("And 3 more in the notebook.")


def test_a_long_text_is_shortened_and_whole_in_the_notes(tiny_runs):
    nb = good(tiny_runs)
    long = f"**Guess.** How? {'Many more words. ' * 20}\n\n![A dot](attachment:a.png)\n\n1. One. Two.\n2. $a$ b. C."
    nb.cells.insert(1, new_markdown_cell(long, metadata=SLIDE, attachments=nb.cells[-8]["attachments"]))
    deck = slides.deck(nb, OK)
    shown = re.sub(r"<[^>]+>", " ", sections(deck)[1])
    assert "How?" in shown and "One." in shown and "Two." not in shown and 'alt="A dot"' in sections(deck)[1]
    assert "Many more words." not in shown and "Many more words." in deck
    assert slides.words(slides.short("- An item of six words here.\n" * 30)) <= slides.WORDS


def test_a_deck_says_that_its_run_failed_or_proves_little(tiny_runs):
    title = sections(slides.deck(good(tiny_runs), OK | {"status": "failed: x", "profile": "smoke"}))[0]
    assert "failed" in title and "are no results" in title
    missing = {"notebook": "good", "status": "failed: there is no good.json beside it", "claims": []}
    assert "failed" in sections(slides.deck(good(tiny_runs), missing))[0]


def test_a_missing_result_is_told(tiny_runs, tmp_path, capsys):
    nbformat.write(good(tiny_runs), tmp_path / "good.ipynb")
    assert [path.name for path in slides.write(tmp_path, tmp_path / "out")] == ["good.html"]
    assert "there is no good.json" in capsys.readouterr().err


def fitting(chromium, path):
    """Show every slide of a deck; returns what is wrong with it, a sentence each."""
    page, asked, errors = browser.visit(chromium, path)
    page.wait_for_selector("body[data-ready]")
    wrong = [f"asks for {address}" for address in asked] + errors
    for number in range(page.evaluate("Reveal.getTotalSlides()")):
        page.evaluate(f"Reveal.slide({number}, 0, 99)")
        wrong += [f"{path.stem}, slide {number + 1}: {text}" for text in page.evaluate(SEEN)]
    page.close()
    return wrong


@pytest.mark.browser
def test_the_tiny_deck_fits_and_one_that_does_not_is_found(tiny_runs, tmp_path):
    with browser.chromium() as chromium:
        (made,) = (path for path in slides.write(tiny_runs, tmp_path) if path.stem == "good")
        assert not fitting(chromium, made)
        nb = good(tiny_runs)
        nb.cells.insert(1, new_markdown_cell("| many |\n|---|\n" + "| rows |\n" * 60, metadata=SLIDE))
        made.write_text(slides.deck(nb, OK), encoding="utf-8")
        found = fitting(chromium, made)
        assert len(found) == 1 and "slide 2" in found[0] and "px high" in found[0]


@pytest.mark.notebook
@pytest.mark.browser
def test_every_slide_of_a_notebook_of_the_second_edition_fits(tmp_path_factory):
    second = [path for path in NOTEBOOKS if nbformat.read(path, as_version=4).metadata.get("edition") == 2]
    folder, wrong = tmp_path_factory.mktemp("decks"), []
    with browser.chromium() as chromium:
        for path in second:
            run = executed.smoke(path, tmp_path_factory)
            nb = nbformat.read(executed.folder(tmp_path_factory) / path.name, as_version=4)
            made = folder / f"{path.stem}.html"
            made.write_text(slides.deck(nb, run), encoding="utf-8")
            number = len(sections(made.read_text(encoding="utf-8")))
            if not 10 <= number <= 15:
                wrong.append(f"{path.stem}: {number} slides, expected 10 to 15")
            wrong += fitting(chromium, made)
    assert not wrong, "\n".join(wrong)


def test_a_marked_cell_without_anything_to_show_is_no_slide(tiny_runs):
    nb = good(tiny_runs)
    nb.cells.insert(2, new_code_cell("1 + 1", metadata=SLIDE, outputs=[new_output("stream", text="not in this run")]))
    assert len(sections(slides.deck(nb, OK))) == 5


def test_without_executed_notebooks_it_says_which_command_makes_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(contents, "ROOT", tmp_path)
    for command in ("slides", "book"):
        assert __main__.main([command]) == 1
        assert "make run" in capsys.readouterr().err
        assert __main__.main([command, str(tmp_path / "nothing")]) == 1
        assert "make run" in capsys.readouterr().err
