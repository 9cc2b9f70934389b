"""Posteriors of images, their averages, the errors that follow from them, and the statistics of errors.

In: posteriors [N, classes] and true labels [N]. Out: score stores, ranks of the true classes, outcomes image by image,
estimates with their intervals. Begin with `stores.py`, where scales, protocols and nets are averaged (`mixture_ranks`), then
`ranks.py` and `statistics.py`; `trainings.py` says by how much trainings differ, `outcomes.py` keeps which images are wrong.
"""
