"""Results of other people: released weights, and scores of validation images.

In: a .caffemodel, .mat or .pth, or a file of posteriors or labels. Out: a run or a score store like ours, or a message that
says why the file cannot mean what was declared. Begin with `released.py` (nets; `formats.py` reads the files, `readings.py`
interprets their numbers) and `imported.py` (scores; `score_files.py` reads the files).
"""
