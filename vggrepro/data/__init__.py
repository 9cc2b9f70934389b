"""Images: how they lie on disk, the prepared store, and what happens to them before a net sees them.

In: a data set's folder, archives or zip. Out: a store of one flat file and an index, and views cut from its images.
Begin with `layouts.py` (what lies on disk), then `store.py` (what is read) and `transforms.py` (what a net is shown).
"""
