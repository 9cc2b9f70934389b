"""What every other room stands on: files, paths, progress, provenance, devices.

In: paths and bytes. Out: files that are whole or absent, threads that work ahead, and what a result says of the machine
that made it. Nothing here knows about the paper.
Begin with `files.py`: `atomic_file` and `atomic_folder` are how every result is written.
"""
