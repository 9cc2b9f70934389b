"""Files, stored arrays, validation, progress, provenance and devices: what all other rooms use.

In: paths, bytes, values of the user. Out: files that are complete or absent, checked arrays and typed values, prefetched work,
and a record of the machine that computed a result. Nothing here depends on the paper.
Begin with `files.py`: every result is written with `atomic_file` or `atomic_folder`; `arrays.py` and
`validation.py` read results back.
"""
