"""One training, as section 3.1 and appendix A describe it, on one CPU or many GPUs.

In: a run, its settings, two prepared stores and the weights it is initialised from. Out: `weights.safetensors`,
`metrics.csv` and `run.json`, which records what was done, and the first steps in numbers. Begin with `train.py`: `train_run`
is what a job calls, `build_training` makes all parts, `run_epochs` is the loop; every part has a module of its own.
"""
