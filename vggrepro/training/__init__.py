"""One training, as section 3.1 and appendix A describe it, on one CPU or many GPUs.

In: a run, its settings, two prepared stores and the weights it is initialised from. Out: `weights.safetensors`,
`metrics.csv` and `run.json`, which records what was done. Begin with `train.py`: `train` is what a job calls.
"""
