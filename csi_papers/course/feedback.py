"""The page a student gets back: points, what each check said, and what was handed in. No external request.

Whatever the student's code printed or drew is left out: the page is opened in a teacher's browser.
"""

import html

_STYLE = """body { font: 1rem/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.15rem; margin-top: 2rem } .score { font-size: 1.5rem }
table { border-collapse: collapse }
th, td { text-align: left; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid #ddd }
li { overflow-wrap: anywhere } pre { background: #f5f5f5; padding: .8rem; overflow-x: auto }
.remarks { border-left: .4rem solid #a33b00; padding: .3rem 1rem; background: #fbf1ec }"""
WORDS = {"passed": "✓ passed", "wrong": "✗ not right yet", "to do": "○ to do", "error": "✗ an error",
         "stopped": "✗ stopped"}


def page(title, student, answers, remarks):
    """The feedback on a notebook with this title, as HTML text. answers, remarks: of `grading.grade`."""
    text = html.escape
    rows = "".join(f"<tr><td>{a.exercise.number}</td><td>{text(a.exercise.title)}</td><td>{a.points:g} of "
                   f"{a.exercise.points:g}</td><td>{WORDS[a.status]}</td></tr>" for a in answers)
    notes = "".join(f"<li>{text(remark)}</li>" for remark in remarks)
    parts = [
        f"<h1>{text(title)}</h1><p>Feedback for <strong>{text(student)}</strong></p>",
        f"<p class='score'><strong>{sum(a.points for a in answers):g}</strong> of "
        f"{sum(a.exercise.points for a in answers):g} points</p>",
        "<table><thead><tr><th scope='col'>exercise</th><th scope='col'>name</th><th scope='col'>points</th>"
        f"<th scope='col'>result</th></tr></thead><tbody>{rows}</tbody></table>",
        f"<div class='remarks'><strong>Please note</strong><ul>{notes}</ul></div>" if notes else "",
        "<p>An exercise gives its points when all its checks pass. Some checks are not in your copy: they try your "
        "answer on other inputs. If you think that a check is wrong, tell your teacher.</p>"]
    for a in answers:
        parts.append(f"<h2>{a.exercise.number}: {text(a.exercise.title)}</h2>")
        if a.status == "to do":
            parts.append("<p>○ Not filled in yet.</p>")
            continue
        lines = "".join(f"<li>{'✓' if passed else '✗'} {text(line)}</li>" for passed, line in a.lines)
        parts.append(f"<ul>{lines}</ul><p>What you handed in:</p><pre tabindex='0'><code>{text(a.code)}</code></pre>")
    return (f"<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'><title>{text(title)}: feedback</title>"
            f"<meta name='viewport' content='width=device-width'><style>{_STYLE}</style></head>\n<body><main>\n"
            + "\n".join(parts) + "\n</main></body></html>\n")
