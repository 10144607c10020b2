"""The book from every notebook's smoke run: no warning, no request to a network, nothing serious for axe-core."""

import functools
import re
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import browser
import executed
import nbformat
import pytest
from notebook_lint import drawings

from csi_papers.pages import book, contents, report, slides
from csi_papers.run.runner import notebooks
from csi_utils import ROOT

PLACES = {path: contents.place(path.stem) for path in notebooks()}
# Sphinx warns of calls that its theme makes and that a later Sphinx will not have; nothing of ours.
pytestmark = [pytest.mark.filterwarnings("ignore:.*:PendingDeprecationWarning"),
              pytest.mark.filterwarnings("ignore:.*is deprecated. Check CHANGES:DeprecationWarning")]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built book; the notebooks are executed at most once a session."""
    pytest.importorskip("sphinx_book_theme", reason="the extra book is not installed")
    for path in PLACES:
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


# Equations of which a part is beyond the page or a box that does not scroll.
CUT = """() => [...document.querySelectorAll('.bd-article mjx-container svg')].filter(svg => {
  const drawn = svg.getBoundingClientRect()
  for (let box = svg.parentElement; box.tagName != 'HTML'; box = box.parentElement) {
    const style = getComputedStyle(box)
    if (box.scrollWidth > box.clientWidth && ['auto', 'scroll'].includes(style.overflowX)) return false
    if (style.overflowX == 'hidden' && drawn.right > box.getBoundingClientRect().right + 1) return true
  }
  return drawn.right > innerWidth
}).map(svg => svg.closest('p, td, div').textContent.slice(0, 60))"""


def text(path):
    return path.read_text(encoding="utf-8")


@pytest.mark.notebook
def test_it_has_every_page(site):
    for path, place in PLACES.items():
        page = text(site / f"{place}.html")
        assert f'slides/{path.stem}.html"' in page and (site / "slides" / f"{path.stem}.html").is_file()
        assert "Show code cell source" in page  # long code is collapsed
        assert str(ROOT) not in page
    landing = text(site / "index.html")
    for path, place in PLACES.items():
        assert landing.count(f'href="{place}.html"') >= 2  # contents, gallery
        assert f"{path.stem}-main" in landing
    for page in ("docs/scoreboard", "symbols", "datasets", "docs/reading-group", "docs/course", "docs/course.zh",
                 "docs/glossary", "README.zh"):
        assert (site / f"{page}.html").is_file(), page
    assert "admonition warning" in landing and "proves the wiring" in landing  # the profile smoke gives no results


@pytest.mark.notebook
def test_every_picture_has_its_text_and_every_drawing_is_there(site):
    for path, place in PLACES.items():
        article = text(site / f"{place}.html").split("<article")[1].split("</article>")[0]
        texts = re.findall(r'<img\b[^>]*?\balt="([^"]*)"', article)
        assert len(texts) == len(re.findall(r"<img\b", article))
        assert texts and all(len(alt) >= 20 and ".png" not in alt for alt in texts), path.stem
        drawn = drawings(nbformat.read(path, as_version=4))
        assert all(f"{path.stem}-{name}" in article for name in drawn), f"{path.stem} lacks a drawing"
    assert 'lang="zh-CN"' in text(site / "docs" / "reading-group.zh.html")
    assert 'lang="en"' in text(site / "index.html")


@pytest.mark.notebook
@pytest.mark.parametrize("name", ["index.html", "docs/scoreboard.html", "symbols.html", "README.html",
                                  "docs/reading-group.zh.html", *(f"{place}.html" for place in PLACES.values())])
def test_a_page_asks_nothing_of_the_network_and_fits_a_telephone(site, chromium, name):
    page, asked, errors = browser.visit(chromium, site / name, width=390, height=844)
    page.evaluate("async () => window.MathJax?.startup && await MathJax.startup.promise")
    assert not asked and not errors
    assert not page.evaluate("document.querySelectorAll('[data-mml-node=merror]').length"), "an equation has an error"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert not page.evaluate(CUT)
    if name.startswith("notebooks") and "deeper" not in name:
        assert page.evaluate("document.querySelectorAll('mjx-container').length") > 20
    page.close()


@pytest.mark.notebook
@pytest.mark.parametrize(("words", "page"), [("fingerprint", "notebooks/01"), ("指纹定位", ".zh"), ("域适应", ".zh")])
@pytest.mark.parametrize("served", [False, True], ids=["file", "http"])
def test_search_finds_words_in_both_languages(site, chromium, words, page, served):
    if served:
        handler = functools.partial(SimpleHTTPRequestHandler, directory=site)
        handler.log_message = lambda *_: None
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        tab = chromium.new_page()
        tab.goto(f"http://127.0.0.1:{server.server_port}/search.html?q={words}")
    else:
        tab, asked, _ = browser.visit(chromium, site / "search.html", query=f"?q={words}")
    tab.wait_for_selector("#search-results ul.search li")
    tab.wait_for_timeout(500)
    found = tab.evaluate("[...document.querySelectorAll('#search-results li a')].map(link => link.href)")
    assert any(page in link for link in found), found
    tab.close()
    if served:
        server.shutdown()
    else:
        assert not asked


@pytest.mark.notebook
@pytest.mark.parametrize("name", ["index.html", "notebooks/01_svm_fingerprinting.html", "docs/reading-group.html",
                                  "docs/course.zh.html", "slides/01_svm_fingerprinting.html"])
def test_nothing_serious_for_somebody_who_cannot_see_it_well(site, chromium, name):
    """axe-core: texts of figures, order of headings, contrast and the rest."""
    page, _, _ = browser.visit(chromium, site / name)
    page.wait_for_timeout(1000)
    assert not browser.axe(page)
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].filter(h => !h.closest('aside'))"
                           ".map(h => +h.tagName[1])")
    assert levels[0] == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False)), levels
    page.close()


def test_report_and_slides_are_accessible_too(chromium, tiny_runs, tmp_path):
    report.write(tiny_runs, tmp_path)
    slides.write(tiny_runs, tmp_path / "slides")
    for name in ("index", "good", "error", "slides/good"):
        page, asked, _ = browser.visit(chromium, tmp_path / f"{name}.html")
        assert not browser.axe(page) and not asked, name
        page.close()
    for width in (390, 1280):
        page, _, _ = browser.visit(chromium, tmp_path / "index.html", width=width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.close()


def test_a_book_of_some_notebooks_has_no_link_to_the_others(tiny_runs, tmp_path):
    pytest.importorskip("sphinx_book_theme", reason="the extra book is not installed")
    (tmp_path / "runs").mkdir()
    for file in ("good.ipynb", "good.json", "error.ipynb"):
        shutil.copy(tiny_runs / file, tmp_path / "runs")
    pages = book.gather(tmp_path / "runs", tmp_path / "pages")
    index, symbols = text(pages / "index.md"), text(pages / "symbols.md")
    for name in ("README.md", "docs/scoreboard.md", "docs/course.md"):
        assert not re.findall(r"\]\([^)]*\b\d\d_\w+\.(?:ipynb|md)", text(pages / name)), name
    assert "**The claim.** The answer is 42. It took a while." in index and "figures/good-main.png" in index
    assert "error failed: there is no error.json beside it" in index  # a missing result is a failure
    assert "| $a$ | a letter |" in symbols and "After the table" not in symbols
    page = nbformat.read(pages / "notebooks" / "good.ipynb", as_version=4)
    assert "../figures/good-a.png" in "".join(cell.source for cell in page.cells)
    hidden = [cell.source for cell in page.cells if "hide-input" in cell.metadata.get("tags", [])]
    assert hidden == ["hidden = 'collapsed code'"]


def test_a_folder_that_is_no_book_is_never_replaced(tiny_runs, tmp_path):
    pytest.importorskip("sphinx_book_theme", reason="the extra book is not installed")
    (tmp_path / "thesis.tex").write_text("of three years")
    with pytest.raises(ValueError, match="holds other files"):
        book.build(tiny_runs, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_table_of_contents_for_jupyterlab_names_every_notebook(tmp_path):
    page = contents.start_here(ROOT / "notebooks")
    assert page.startswith("# Start here") and "git checkout" in page
    for path in PLACES:
        link = path.relative_to(ROOT / "notebooks").as_posix()
        row = next(line for line in page.splitlines() if f"]({link})" in line)
        cells = row.replace("\\|", "").strip("|").split("|")
        assert len(cells) == 4 and all(len(cell.strip()) > 3 for cell in cells), row
    shutil.copytree(ROOT / "notebooks", tmp_path / "learn")
    copies = contents.start_here(tmp_path / "learn")
    assert "make lab` again" in copies and "git checkout" not in copies  # the checkout has the solutions
    for target in re.findall(r"\]\((.*?\.ipynb)\)", copies):
        assert (tmp_path / "learn" / target).is_file()
