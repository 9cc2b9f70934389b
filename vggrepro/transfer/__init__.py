"""Other data sets (appendix B): features of a net without its last layer, and linear SVMs on them.

In: weights and a collection of images (VOC, Caltech). Out: features per scale, SVM scores, average precision or recall.
Begin with `features.py`, then `svms.py`.
"""
