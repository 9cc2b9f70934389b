"""From weights to posteriors: dense, multi-crop and centre-crop evaluation (section 3.2).

In: a run's weights and a prepared store. Out: a score store per test scale Q, with a record of what the net was shown.
Begin with `evaluate_run` in `evaluate.py`, which a job calls. An image becomes views (`views.py`), views of equal shape become
batches (`batches.py`), and `recorder.py` records what goes into the net that runs.
"""
