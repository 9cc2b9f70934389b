"""The names of the files of a training. No torch: the workflow reads them too."""

FINISHED = "finished"
"""A file beside the last checkpoint of a training whose results are written."""
