"""The book from every notebook's smoke run: no warning, no request to a network, nothing serious for axe-core."""

import functools
import json
import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import bad_notebooks
import browser
import executed
import nbformat
import pytest
from notebook_lint import drawings

from csi_papers.pages import book, contents, report
from csi_papers.run.runner import run_many

ROOT = Path(__file__).resolve().parents[3]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Sphinx warns of calls that its theme makes and that a later Sphinx will not have; nothing of ours.
pytestmark = [pytest.mark.notebook,
              pytest.mark.filterwarnings("ignore:.*:PendingDeprecationWarning"),
              pytest.mark.filterwarnings("ignore:.*is deprecated. Check CHANGES:DeprecationWarning")]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built book; the notebooks are executed at most once a session."""
    pytest.importorskip("sphinx_book_theme", reason="the extra book is not installed")
    if not NOTEBOOKS:
        pytest.skip("notebooks/ has no notebook yet")
    for path in NOTEBOOKS:
        executed.smoke(path, tmp_path_factory)
    out = tmp_path_factory.mktemp("book") / "book"
    index, status = book.build(executed.folder(tmp_path_factory), out)
    assert status == 0, "the book was built with warnings, see above"
    assert index.is_file()
    return out


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as found:
        yield found


def text(path):
    return path.read_text(encoding="utf-8")


def test_it_has_every_page(site):
    folder = site
    for path in NOTEBOOKS:
        page = text(folder / "notebooks" / f"{path.stem}.html")
        assert f'href="../slides/{path.stem}.html"' in page and (folder / "slides" / f"{path.stem}.html").is_file()
        assert "Show code cell source" in page  # long code is collapsed
        assert str(ROOT) not in page
    landing = text(folder / "index.html")
    for path in NOTEBOOKS:
        assert landing.count(f'href="notebooks/{path.stem}.html"') >= 3  # contents, scoreboard, gallery
        assert f"{path.stem}-main" in landing
    for page in ("scoreboard", "words", "datasets", "docs/reading-group", "docs/course", "docs/course.zh", "README.zh"):
        assert (folder / f"{page}.html").is_file(), page
    assert "admonition warning" in landing and "proves the wiring" in landing  # the profile smoke gives no results


def test_every_picture_has_its_text_and_every_drawing_is_there(site):
    folder = site
    for path in NOTEBOOKS:
        page = text(folder / "notebooks" / f"{path.stem}.html")
        texts = re.findall(r'<img\b[^>]*?\balt="([^"]*)"', page.split("<article")[1].split("</article>")[0])
        assert len(texts) == len(re.findall(r"<img\b", page.split("<article")[1].split("</article>")[0]))
        assert texts and all(len(alt) >= 20 and ".png" not in alt for alt in texts), path.stem
        drawn = drawings(nbformat.read(path, as_version=4))
        assert all(f"{path.stem}-{name}" in page for name in drawn), f"{path.stem} lacks a drawing"
    assert 'lang="zh-CN"' in text(folder / "docs" / "reading-group.zh.html")
    assert 'lang="en"' in text(folder / "index.html")


@pytest.mark.parametrize("name", ["index.html", "scoreboard.html", "words.html", "docs/reading-group.zh.html",
                                  *(f"notebooks/{path.stem}.html" for path in NOTEBOOKS)])
def test_a_page_asks_nothing_of_the_network_and_fits_a_telephone(site, chromium, name):
    page, asked, errors = browser.visit(chromium, site / name, width=390, height=844)
    page.evaluate("async () => window.MathJax?.startup && await MathJax.startup.promise")
    assert not asked and not errors
    assert not page.evaluate("document.querySelectorAll('[data-mml-node=merror]').length"), "an equation has an error"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    if name.startswith("notebooks"):
        assert page.evaluate("document.querySelectorAll('mjx-container').length") > 20
    page.close()


@pytest.mark.parametrize(("words", "page"), [("fingerprint", "notebooks/01"), ("指纹定位", ".zh"), ("域适应", ".zh")])
@pytest.mark.parametrize("served", [False, True], ids=["file", "http"])
def test_search_finds_words_in_both_languages(site, chromium, words, page, served):
    folder = site
    if served:
        handler = functools.partial(SimpleHTTPRequestHandler, directory=folder)
        handler.log_message = lambda *_: None
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        tab = chromium.new_page()
        tab.goto(f"http://127.0.0.1:{server.server_port}/search.html?q={words}")
    else:
        tab, asked, _ = browser.visit(chromium, folder / "search.html", query=f"?q={words}")
    tab.wait_for_selector("#search-results ul.search li")
    tab.wait_for_timeout(500)
    found = tab.evaluate("[...document.querySelectorAll('#search-results li a')].map(link => link.href)")
    assert any(page in link for link in found), found
    tab.close()
    if served:
        server.shutdown()
    else:
        assert not asked


@pytest.mark.parametrize("name", ["index.html", "notebooks/{}.html", "slides/{}.html", "docs/reading-group.html",
                                  "docs/course.zh.html"])
def test_nothing_serious_for_somebody_who_cannot_see_it_well(site, chromium, name):
    """axe-core: texts of figures, order of headings, contrast and the rest."""
    page, _, _ = browser.visit(chromium, site / name.format(NOTEBOOKS[0].stem))
    page.wait_for_timeout(1000)
    assert not browser.axe(page)
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(h => +h.tagName[1])")
    assert levels[0] == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False)), levels
    page.close()


def test_the_report_is_accessible_too(chromium, tmp_path):
    run_many([bad_notebooks.build(name, tmp_path / "tiny") for name in ("good", "error")], tmp_path, quiet=True)
    assert json.loads((tmp_path / "good.json").read_text())["status"] == "ok"
    report.write(tmp_path, tmp_path / "report")
    for name in ("index", "good", "error"):
        page, asked, _ = browser.visit(chromium, tmp_path / "report" / f"{name}.html")
        assert not browser.axe(page) and not asked, name
        page.close()


def test_the_table_of_contents_for_jupyterlab_names_every_notebook():
    page = contents.start_here(ROOT / "notebooks")
    assert page.startswith("# Start here")
    for path in NOTEBOOKS:
        row = next(line for line in page.splitlines() if f"]({path.name})" in line)
        cells = row.replace("\\|", "").strip("|").split("|")
        assert len(cells) == 4 and all(len(cell.strip()) > 3 for cell in cells), row
