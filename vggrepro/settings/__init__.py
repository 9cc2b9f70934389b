"""The settings: typed models, presets that fill them, and the choices that they make where the paper is unspecified.

In: a preset's YAML file and the user's `--config`. Out: a frozen `Settings`, or one message that names every wrong key.
Begin with `models.py` and its `blocks.py`; the workflow and the command line call `load_settings` of `loading.py`.
"""
