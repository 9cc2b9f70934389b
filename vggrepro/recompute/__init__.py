"""Results computed again, slowly and obviously, to see whether they are what they say: `vggrepro check --recompute RESULTS`.

In: a folder of results, and the images in it. Out: a finding for every run, evaluation, table and claim: that it agrees and
to how many digits, that it differs, or why it could not be computed again. Begin with `check.py`. Nothing here calls the code
that made a result: layers come from the published Table 1 (`net.py`), pixels from PIL (`images.py`), steps of SGD, boxes and
errors are written out. `training.py` takes first steps again, `evaluations.py` posteriors and boxes, `transfer.py` features
and SVMs, `errors.py` and `tables.py` cells and claims; only `vggrepro check` prints what they find. What is shared is how
files are read, and the documented stream of random numbers (`draws.py`).
"""
