"""Where the repository's own files lie: what the paper says, templates, presets."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout: `tables/`, `reports/` and `workflow/` lie in it."""
