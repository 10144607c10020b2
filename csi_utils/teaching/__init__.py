"""The teaching layer, made from the notebooks alone: assignments and their grading, slides, the book."""
