"""The report and what leaves the project: one HTML page, its figures, what-if, tidy data, the citable bundle.

In: judged tables and everything beside them. Out: `report.html`, `report.tex`, `cells.csv`, `crate.zip`.
Begin with `page.py`, which puts the page together from a module per section and the templates in `reports/templates/`;
`shown.py` lists the figures, which `figures/` draws.
"""
