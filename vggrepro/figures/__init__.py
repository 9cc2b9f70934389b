"""Figures, a room for each part of the report: drawn once, as SVG for the page and as PDF for LaTeX. No torch."""
