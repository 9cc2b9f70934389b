"""Posteriors of images, their averages, the errors that follow from them, and the statistics of errors.

In: posteriors [N, classes] and true labels [N]. Out: score stores, ranks of the true classes, outcomes image by image,
estimates with their intervals. Begin with `stores.py`, where scales, protocols and nets are averaged (`mixture_ranks`), then
`outcomes.py`, which images a system gets wrong, `ranks.py` and `statistics.py`; `trainings.py`: by how much trainings differ.
"""
