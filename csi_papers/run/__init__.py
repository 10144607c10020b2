"""Run notebooks strictly, and measure bands. Kept empty: `guard` is imported in every process that a notebook starts."""
