"""Tables as values: each published number, what was measured beside it, and where that came from.

In: stores of scores and boxes, results of SVMs. Out: a `Table` of cells without verdicts; HTML, LaTeX, Markdown, CSV and JSON.
Begin with `build_table` of `build.py`: the errors of a row's system become cells (`cells.py`), which `render.py` prints.
What only a user adds has a file of its own: `references.py`, `imported.py`, `measures.py` (quantities), `variants.py`.
"""
