"""The README tells the truth: its scoreboard is the one of claims.toml, its files and commands exist."""

import pathlib
import re

import nbformat
from notebook_lint import drawings

from csi_utils import claims
from csi_utils import verdicts as scoreboard

ROOT = pathlib.Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_scoreboard_is_that_of_claims_toml():
    table = re.search(r"<!-- scoreboard: .*? -->\n(.*?)<!-- scoreboard end -->", README, re.S).group(1).strip()
    expected = scoreboard.markdown_table(claims.load(), "standard")
    assert table == expected, f"put this into README.md:\n{expected}"


def test_links_and_notebooks_exist():
    for target in re.findall(r"\]\(([^)#]+)", README):
        assert (ROOT / target).exists(), target
    named = set(re.findall(r"`(\d\d_\w+)`", README))
    assert named == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^ +make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_every_notebook_has_its_picture_here_and_it_is_the_notebooks_own():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        picture = ROOT / "docs" / f"{path.stem}.svg"
        assert picture.read_bytes() in drawings(nbformat.read(path, as_version=4)).values(), path.stem
        assert f"](docs/{path.stem}.svg)" in README, path.stem
