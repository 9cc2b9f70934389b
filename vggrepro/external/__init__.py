"""What other people made: released weights, and scores of validation images.

In: a .caffemodel, .mat, .pth, or a file of posteriors or labels. Out: a run or a score store like ours, or a message that
says why the file cannot mean what it is said to mean. Begin with `released.py` (nets) and `imported.py` (scores).
"""
