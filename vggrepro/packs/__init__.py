"""Packs: what another laboratory needs to count a result or to continue it, in one zip; and several packs made one result.

In: a folder of results. Out: a zip of records, scores and recipes (weights if wanted), with the digest of each file; or a
folder of results that has the runs and seeds of several packs. Nothing in a pack is believed without its digest, and nothing
is executed.

Begin with `write.py`, then `merge.py`.
"""
