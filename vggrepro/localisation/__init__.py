"""Boxes (section 4 and appendix A): predicted at every location of an image, merged into one per label, judged.

In: weights of a box-predicting net and the top-5 labels of the images. Out: box stores, the images that they miss, ILSVRC's
official submission format. Begin with `prediction.py`, which runs the net and writes a box store (`stores.py`); `merging.py`
makes one box per label of it when a table is made (no file keeps merged boxes), and `errors.py` counts the errors of Tables 8
to 10 by the devkit's rule. Labels are the best system's of Table 6, boxes are scored by the classification net of their S.
"""
