"""Tables as values: each published number, what was measured beside it, and where that came from.

In: stores of scores and boxes, results of SVMs. Out: a `Table` of cells without verdicts; HTML, LaTeX, Markdown, CSV and JSON.
Begin with `cells.py` (what a cell is), then `build.py` (a builder for each kind of table) and `render.py` (how it is printed).
"""
