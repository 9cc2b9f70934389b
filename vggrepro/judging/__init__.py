"""What may be said of a number: the audit of how it was made, footnotes, verdicts, and the claims of the paper.

In: tables, and the records that trainings and evaluations left. Out: the same tables with footnotes and verdicts, or a
message where a record contradicts its settings. Begin with `pipeline.py`, then `audit.py` beside `tables/protocol.yaml`;
`footnotes.py` words what the audit found, `verdicts.py` holds a cell against the printed number. `ledger.py` collects the
claims, and `decisions.py` has the thresholds of their verdicts.
"""
