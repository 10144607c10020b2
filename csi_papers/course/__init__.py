"""The course: assignments, submissions, grades, feedback."""
