"""What the paper says, as typed values: its tables, runs, systems, tasks, protocol and claims.

In: `tables/published/*.csv`, `tables/protocol.yaml`, `tables/claims.yaml`. Out: frozen values; nothing is computed.
A row of a CSV names a system; from its key columns follow the trainings and the evaluations.
Begin with `runs.py` and `systems.py`, then `tables.py`: `published_table` reads a table, its rows name systems.
"""
