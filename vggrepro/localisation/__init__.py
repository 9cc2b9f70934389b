"""Boxes (section 4 and appendix A): predicted at every location, merged into one per label, judged.

In: weights of a box-predicting net and the top-5 labels of the images. Out: box stores, merged boxes, the official
submission format. Begin with `prediction.py`, then `merging.py`.
"""
