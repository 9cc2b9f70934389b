"""The paper as typed values: its tables, runs, systems, tasks, protocol and claims.

In: `tables/published/*.csv`, `tables/protocol.yaml`, `tables/claims.yaml`. Out: frozen values.
The key columns of a CSV's row name a system, from which the trainings and the evaluations follow.
Begin with `runs.py` and `systems.py`; then `published_table` of `tables.py` reads a table, whose rows name systems.
"""
