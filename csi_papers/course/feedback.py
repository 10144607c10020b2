"""The page a student gets back: points, what each check said, and what was handed in. No external request."""

from csi_papers.pages import contents

WORDS = {"passed": "✓ passed", "wrong": "✗ not right yet", "to do": "○ to do", "error": "✗ an error",
         "stopped": "✗ stopped"}


def page(title, student, answers, remarks):
    """The feedback on a notebook with this title, as HTML text. answers, remarks: of `grading.grade`."""
    points, most = sum(a.points for a in answers), sum(a.exercise.points for a in answers)
    return contents.render("feedback.html.j2", title=title, student=student, answers=answers, remarks=remarks,
                           points=f"{points:g}", most=f"{most:g}", words=WORDS)
