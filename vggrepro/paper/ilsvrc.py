"""The size of ILSVRC-2012, which the paper trains and tests on (section 4)."""

from __future__ import annotations

ILSVRC_TRAINING_IMAGES = 1_281_167
ILSVRC_VALIDATION_IMAGES = 50_000
ILSVRC_CLASSES = 1_000
ILSVRC_BLACKLISTED = 1_762
"""Validation images whose boxes nobody could draw: localisation errors leave them out."""
