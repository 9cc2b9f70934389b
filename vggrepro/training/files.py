"""The names of the files of a training. No torch: the workflow reads them too."""

WEIGHTS = "weights.safetensors"
METRICS = "metrics.csv"
"""A line per epoch."""
RUN_RECORD = "run.json"
"""What was trained, from what, how, by which code and machine, and what the training measured of itself."""
FINISHED = "finished"
"""A file beside the last checkpoint of a training whose results are written."""
