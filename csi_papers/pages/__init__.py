"""Pages made from executed notebooks: report, scoreboard, slides, book."""
