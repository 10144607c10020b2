"""Sphinx configuration of the book: `make book` gathers the pages and builds them with this file."""

import re

from docutils import nodes
from sphinx.search.en import SearchEnglish

project = "WiFi sensing: executable papers"
author = "the authors of the notebooks"
html_title = project
language = "en"

extensions = ["myst_nb", "sphinx.ext.mathjax"]
exclude_patterns = ["_static", "_extra", "LICENSE"]

nb_execution_mode = "off"  # what is shown was run by csi_utils, which checks every claim
nb_merge_streams = True
nb_render_markdown_format = "myst"
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "attrs_block", "colon_fence"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
suppress_warnings = ["mystnb.unknown_mime_type"]

# One file with its glyphs inside, so that nothing is loaded from anywhere.
mathjax_path = "mathjax/tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}, "svg": {"fontCache": "local", "scale": 0.95}}

html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_extra_path = ["_extra"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
html_last_updated_fmt = None
html_theme_options = {
    "logo": {"text": project},
    "navbar_start": [], "navbar_center": [], "navbar_end": [], "navbar_persistent": [],
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "use_download_button": True,
    "use_fullscreen_button": False,
    "home_page_in_toc": True,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "navigation_with_keys": False,
    "footer_content_items": ["extra-footer"],
    "extra_footer": "<p>Code and text under the MIT licence. The data are not ours; see their datasheets.</p>",
}

html_context = {"default_mode": "light"}

# An equation that is wider than its page scrolls (book.css), so the keyboard must reach it.
SCROLLS = """addEventListener("load", () => window.MathJax?.startup?.promise.then(() => {
  for (const box of document.querySelectorAll("div.math"))
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0
}))"""

HAN = "\u3400-\u9fff"


class Search(SearchEnglish):
    """English search that also finds Chinese: a run of Chinese characters counts as its pairs of characters."""

    js_splitter_code = """
var splitQuery = query => [...query.matchAll(/[\u3400-\u9fff]+|[\\p{Letter}\\p{Number}_\\p{Emoji_Presentation}]+/gu)]
  .flatMap(([word]) => /^[\u3400-\u9fff]{3,}$/.test(word)
    ? [...word].slice(1).map((character, i) => [...word][i] + character) : [word])
"""

    def split(self, input):
        words = []
        for word in re.findall(rf"[{HAN}]+|(?:(?![{HAN}])\w)+", input):
            pairs = [word[i:i + 2] for i in range(len(word) - 1)] if re.match(f"[{HAN}]", word) else []
            words += pairs or [word]
        return words

    def word_filter(self, word):
        return bool(re.match(f"[{HAN}]", word)) or super().word_filter(word)


def equations(app, doctree):
    """Give MathJax each equation as it is written; Sphinx would wrap it in a way that forbids a number (tag)."""
    for node in doctree.findall(nodes.math_block):
        if not node.get("no-wrap") and not node.get("nowrap"):
            tex = node.astext()
            node.children = []
            node += nodes.Text(f"\\[{tex}\\]")
            node["no-wrap"] = node["nowrap"] = True


def cards(app, doctree):
    """A table without words in its head is a card: its first column holds the headings."""
    for table in doctree.findall(nodes.table):
        head = next(table.findall(nodes.thead), None)
        if head is not None and not head.astext().strip():
            head.parent.remove(head)
            table["classes"].append("card-table")
            next(table.findall(nodes.colspec))["stub"] = 1


def page_language(app, pagename, templatename, context, doctree):
    if pagename.endswith((".zh", "zh")):
        context["language"] = "zh-CN"


def setup(app):
    app.add_search_language(Search)
    app.add_js_file(None, body=SCROLLS)
    app.connect("doctree-read", equations)
    app.connect("doctree-read", cards)
    app.connect("html-page-context", page_language)
