"""What a user sets: models of all settings, the presets that fill them, and the choices that they stand for.

In: a preset's YAML file and the user's `--config`. Out: a frozen `Settings`, or one message that names every wrong key.
Begin with `models.py`; `load_settings` of `loading.py` is what the workflow and the command line call.
"""
