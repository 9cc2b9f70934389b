"""The folder of the repository's own files: published tables, templates, presets."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout: `tables/`, `reports/` and `workflow/` lie in it."""
