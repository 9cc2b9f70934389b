"""From weights to posteriors: dense, multi-crop and centre-crop evaluation (section 3.2).

In: a run's weights and a prepared store. Out: a score store per test scale Q, with a record of what the net was shown.
Begin with `evaluate.py`: `evaluate` is what a job calls.
"""
