"""Why a number is off: the steps between two ways to measure one net, and the images on which two systems differ.

In: weights, score stores, a prepared store. Out: `why.json` with the error of every step, `flips.json`, tables and pictures
of the images behind them. Begin with `steps.py`, which lists the steps; `measurement.py` runs the net for those that need
it, and `decomposition.py` does the statistics and the files. `comparison.py` holds two whole results against each other, by
their `digests.py`; `evidence.py` keeps the images, answers and classes behind each number, for the report.
"""
