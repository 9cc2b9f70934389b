"""Why a number is off: the steps between two ways to measure one net, and the images that make the difference.

In: weights, score stores, a prepared store. Out: `why.json`, `flips.json` and tables of the images behind them.
Begin with `ladder.py`, which lists the steps.
"""
