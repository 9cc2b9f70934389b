"""Figures, a module for each part of the report: drawn once, as SVG for the page and as PDF for LaTeX.

In: tables, claims and records. Out: a `Figure` with its text alternative. No torch.
Begin with `drawing.py`.
"""
