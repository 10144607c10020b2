"""The page a student gets back: points, what each check said, and what was handed in. No external request."""

import html
import re

from csi_papers.course import assignments
from csi_papers.pages import report

_STYLE = """<style>
.score { font-size: 1.6em; margin: .4em 0 } .lines { list-style: none; padding-left: 0 !important; margin: .3em 0 }
.lines li { padding: .15em 0 .15em 1.7em; text-indent: -1.7em; overflow-wrap: anywhere }
.lines li b { display: inline-block; width: 1.7em; text-indent: 0 }
.ok { color: #1a6b2f } .no { color: #a33b00 } .todo { color: #555 }
.remarks { border-left: .4rem solid #a33b00; padding: .3rem 1rem; margin-bottom: 1rem; background: #fbf1ec }
.jp-InputPrompt { display: none } h2 { margin-top: 1em } .jp-Cell { padding-top: 0; padding-bottom: 0 }
.jp-RenderedHTMLCommon table.points td, .jp-RenderedHTMLCommon table.points th { text-align: left }
.jp-RenderedHTMLCommon table.points { display: table; margin-left: 0 }
</style>"""
_WORDS = {"passed": ("✓", "ok", "passed"), "wrong": ("✗", "no", "not right yet"), "to do": ("○", "todo", "to do"),
          "error": ("✗", "no", "an error"), "stopped": ("✗", "no", "stopped")}


def page(submission, source, answers, remarks):
    """The feedback on a graded Submission as HTML text.

    source: the course's notebook. answers: of `grading.grade`. Whatever the student's code printed or drew is left
    out: the page is opened in a teacher's browser.
    """
    from nbformat.v4 import new_code_cell, new_notebook
    title = re.search(r"^# (.+)", source.cells[0].source, flags=re.M)
    title = title[1] if title else submission.assignment
    points, of = sum(a.points for a in answers), sum(a.exercise.points for a in answers)
    cells = [_html(f"{_STYLE}<h1>{_text(title)}</h1><p>Feedback for <strong>{_text(submission.student)}</strong>, "
                   f"assignment {_text(submission.assignment)}</p><p class='score'><strong>{points:g}</strong> of "
                   f"{of:g} points</p>{_table(answers)}{_remarks(remarks)}"
                   "<p>An exercise gives its points when all its checks pass. Some checks are not in your copy: they "
                   "try your answer on other inputs. If you think that a check is wrong, tell your teacher.</p>")]
    for answer in answers:
        one = answer.exercise
        cells += [_html(f"<h2>{one.number}: {_text(one.title)}</h2>{_lines(answer)}"), _task(one)]
        if answer.status == "to do":
            continue
        cells.append(_html("<p>What you handed in:</p>" if answer.code.strip() else "<p>No answer was handed in.</p>"))
        if answer.code.strip():
            cells.append(new_code_cell(answer.code))
    nb = new_notebook(cells=cells, metadata={"title": f"Feedback: {submission.assignment}, {submission.student}",
                                             "language_info": {"name": "python"}})
    return report.page(nb)


def _html(text):
    """A Markdown cell that is HTML and nothing else: no blank line, nothing that reads as a formula."""
    from nbformat.v4 import new_markdown_cell
    return new_markdown_cell("<div>" + re.sub(r"\n\s*\n", "\n", text).replace("$", "&#36;") + "</div>")


def _text(text):
    return html.escape(str(text)).replace("\\", "&#92;").replace("`", "&#96;")


def _table(answers):
    rows = "".join(
        f"<tr><td>{a.exercise.number}</td><td>{_text(a.exercise.title)}</td><td>{a.points:g} of {a.exercise.points:g}"
        f"</td><td class='{_WORDS[a.status][1]}'>{' '.join(_WORDS[a.status][::2])}{_count(a)}</td></tr>"
        for a in answers)
    return ("<table class='points'><thead><tr><th scope='col'>exercise</th><th scope='col'>name</th>"
            f"<th scope='col'>points</th><th scope='col'>result</th></tr></thead><tbody>{rows}</tbody></table>")


def _count(answer):
    return f" ({answer.passed} of {answer.checks} checks pass)" if answer.status == "wrong" and answer.checks else ""


def _remarks(remarks):
    items = "".join(f"<li>{_text(text)}</li>" for text in remarks)
    return f"<div class='remarks'><strong>Please note</strong><ul>{items}</ul></div>" if items else ""


def _lines(answer):
    """What the checks said: each mistake, and how many found none."""
    if answer.status == "to do":
        return "<p class='todo'>○ Not filled in yet.</p>"
    wrong = [text.removeprefix(f"{answer.exercise.title}, ") for good, text in answer.lines if good is False]
    passed = sum(good is True for good, _ in answer.lines)
    items = "".join(f"<li class='no'><b>✗</b>{_text(text)}</li>" for text in wrong)
    if passed:
        text = "passed" if wrong else "passed: all of them"
        items += f"<li class='ok'><b>✓</b>{passed} check{'s' * (passed > 1)} {text}</li>"
    return f"<ul class='lines'>{items}</ul>"


def _task(one):
    from nbformat.v4 import new_markdown_cell
    text = one.text.source[assignments.TITLE.search(one.text.source).start():]
    return new_markdown_cell(f"<details><summary>The task</summary>\n\n{text}\n\n</details>")
