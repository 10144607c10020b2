"""Run notebooks strictly, and measure bands. Empty, for `guard` is imported in every process of a notebook."""
