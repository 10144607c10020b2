"""What works on notebooks: it runs them, makes pages of them, and a course. No notebook imports it."""
