"""Tables as values: each published number, what was measured beside it, and where that came from.

In: stores of scores and boxes, results of SVMs. Out: a `Table` of cells; HTML, LaTeX, Markdown, CSV and JSON of it.
Begin with `cells.py` (what a cell is), then `build.py` (how it is filled) and `render.py` (how it is printed).
"""
