"""Copies to learn with: without solutions, renewed with their notebook, and never over what a person has written."""

from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from csi_papers.course import learn

META = {"schema_version": 3, "task": False, "locked": False, "grade": False, "solution": True, "grade_id": "twice"}
CHECK = META | {"locked": True, "grade": True, "solution": False, "grade_id": "twice_check", "points": 2}


def notebook(edition="first"):
    return new_notebook(cells=[
        new_markdown_cell(f"# 99 · Tiny, {edition}", id="title"),
        new_code_cell('profile = "standard"\nsource = "auto"\nseed = 0', id="p", metadata={"tags": ["parameters"]}),
        new_markdown_cell("## 4. The method\n\n**Exercise 1: twice (2 points).** Double it.", id="text"),
        new_code_cell("def twice(x):\n    ### BEGIN SOLUTION\n    # hint: multiply\n    return 2 * x\n"
                      "    ### END SOLUTION\n    return exercises.TODO", id="s", metadata={"nbgrader": META}),
        new_code_cell("exercises.check(twice, [\n    exercises.case(1, expect=2),\n    ### BEGIN HIDDEN TESTS\n"
                      "    exercises.case(-7, expect=-14),\n    ### END HIDDEN TESTS\n], points=2)",
                      id="c", metadata={"nbgrader": CHECK, "tags": ["hidden-check"]})])


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "notebooks"
    (folder / "deeper").mkdir(parents=True)
    write(folder, notebook())
    more = new_notebook(cells=[new_markdown_cell("# 99 · More"), notebook().cells[1], new_code_cell("1")])
    nbformat.write(more, folder / "deeper" / "99_more.ipynb")
    return folder


def write(folder, nb, name="99_tiny.ipynb"):
    nbformat.write(nb, folder / name)


def made(source):
    """{path: what became of it}, as text; and the folder."""
    folder = source.parent / "learn"
    return {path.as_posix(): what for path, what in learn.make(folder, source).items()}, folder


def test_a_copy_has_a_stub_a_hint_and_its_own_profile(source):
    said, folder = made(source)
    assert said == {"99_tiny.ipynb": learn.NEW, "deeper/99_more.ipynb": learn.NEW}
    text = (folder / "99_tiny.ipynb").read_text(encoding="utf-8")
    assert not any(word in text for word in ("2 * x", "SOLUTION", "HIDDEN", "-14"))
    assert "return exercises.TODO" in text and "A hint for exercise 1" in text and "exercises.case(1" in text
    assert "standard" in text and "smoke" not in text
    start = (folder / "START_HERE.md").read_text(encoding="utf-8")
    assert "(99_tiny.ipynb)" in start and "(deeper/99_more.ipynb)" in start


def test_a_copy_that_nobody_touched_follows_its_notebook(source):
    made(source)
    assert set(made(source)[0].values()) == {learn.SAME}
    write(source, notebook("second"))
    said, folder = made(source)
    assert said == {"99_tiny.ipynb": learn.RENEWED, "deeper/99_more.ipynb": learn.SAME}
    assert "second" in (folder / "99_tiny.ipynb").read_text(encoding="utf-8")


def test_what_a_person_wrote_stays_and_the_new_edition_comes_beside_it(source):
    folder = made(source)[1]
    mine, beside = folder / "99_tiny.ipynb", folder / "99_tiny.new.ipynb"
    mine.write_text(mine.read_text(encoding="utf-8").replace("return exercises.TODO", "return x + x"), encoding="utf-8")
    kept = mine.read_bytes()
    assert made(source)[0]["99_tiny.ipynb"] == learn.YOURS and not beside.exists()
    for edition in ("second", "third"):  # the one beside is renewed as long as nobody works in it
        write(source, notebook(edition))
        said = made(source)[0]
        assert said["99_tiny.ipynb"] == learn.YOURS and mine.read_bytes() == kept
        assert said["99_tiny.new.ipynb"] == (learn.NEW if edition == "second" else learn.RENEWED)
        assert edition in beside.read_text(encoding="utf-8")
    beside.write_text("mine too", encoding="utf-8")
    write(source, notebook("fourth"))
    assert made(source)[0]["99_tiny.new.ipynb"] == learn.YOURS
    assert beside.read_text(encoding="utf-8") == "mine too" and mine.read_bytes() == kept
    assert "fourth" in (folder / "99_tiny.new.new.ipynb").read_text(encoding="utf-8")


def test_without_a_record_every_copy_is_a_persons_and_a_deleted_one_comes_again(source):
    folder = made(source)[1]
    (folder / ".written.json").unlink()
    (folder / "99_tiny.ipynb").write_text("no notebook at all", encoding="utf-8")
    (folder / "deeper" / "99_more.ipynb").unlink()
    said = made(source)[0]  # the table of contents does not need it either
    assert said == {"99_tiny.ipynb": learn.YOURS, "99_tiny.new.ipynb": learn.NEW, "deeper/99_more.ipynb": learn.NEW}
    assert (folder / "99_tiny.ipynb").read_text(encoding="utf-8") == "no notebook at all"


def test_the_command_says_what_it_left_alone_and_what_it_cannot_do(tmp_path, monkeypatch, capsys):
    said = {"a.ipynb": learn.SAME, "b.ipynb": learn.YOURS}
    monkeypatch.setattr(learn, "make", lambda folder: said)
    assert learn.command(SimpleNamespace(out=str(tmp_path))) == 0
    assert capsys.readouterr().out == f"b.ipynb: changed by you, and left alone\nto learn with: {tmp_path}\n"
    monkeypatch.undo()
    (tmp_path / ".written.json").write_text("{", encoding="utf-8")
    assert learn.command(SimpleNamespace(out=str(tmp_path))) == 1
    assert "no copies to learn with in" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.ipynb"))
