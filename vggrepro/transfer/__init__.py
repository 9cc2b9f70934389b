"""Other data sets (appendix B): features of a net without its last layer, and linear SVMs on them.

In: weights and a collection of images (VOC, Caltech). Out: features per test scale, scores of SVMs, their average precision
or recall. Begin with `features.py`, which runs the net, then `classification.py`, which goes from features to a task's
result: descriptors, SVMs and splits are a module each, and `results.py` reads the result back. Which tasks there are, at which
scales, is in `paper/tasks.py`; the data sets on disk are read by `data/collections.py`.
"""
