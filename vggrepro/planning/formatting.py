"""How durations, sizes, dates and tables are printed: in colour in a terminal, as plain lines in a pipe."""

from __future__ import annotations

import sys
from datetime import datetime

from rich.console import Console
from rich.table import Table

from vggrepro.planning.forecast import Range

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
DURATION_UNITS = ((2 * DAY, DAY, "days"), (2 * HOUR, HOUR, "h"), (2 * MINUTE, MINUTE, "min"), (0.0, 1.0, "s"))
"""From so many seconds on, a unit."""
PLAIN_WIDTH, UNBOUNDED = 150, 10_000
"""Columns in a pipe: of tables that fill their line, and of lines that no width breaks."""


def console(plain_width: int = PLAIN_WIDTH) -> Console:
    """Where tables go: in a terminal as wide as it is, in a pipe of so many columns and without colours."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else plain_width, highlight=False)


def terminal_table(*columns: str, title: str = "") -> Table:
    """A table whose first column is text and whose others are numbers."""
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    return table


def duration(seconds: float) -> str:
    """`3.4 days`, `12 min`."""
    unit, name = next((unit, name) for least, unit, name in DURATION_UNITS if seconds >= least)
    return f"{amount(seconds / unit)} {name}"


def duration_range(seconds: Range) -> str:
    """`3.4 days (2.1 to 6.8)`; of a time that is about certain, the time alone."""
    unit, name = next((unit, name) for least, unit, name in DURATION_UNITS if seconds.mid >= least)
    low, mid, high = (amount(value / unit) for value in seconds)
    return f"{mid} {name}" if low == mid == high else f"{mid} {name} ({low} to {high})"


def amount_range(numbers: Range, unit: str) -> str:
    """`1,200 kWh (700 to 2,400)`."""
    low, mid, high = map(amount, numbers)
    return f"{mid} {unit}" if low == mid == high else f"{mid} {unit} ({low} to {high})"


def size(count: float) -> str:
    """`143 GB`."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= unit:
            return f"{amount(count / unit)} {name}"
    return f"{count / 1e3:.0f} kB" if count else ""


def amount(value: float) -> str:
    """Two digits: more would be made up."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 or value == 0 else f"{value:.2g}"


def date(when: datetime, now: datetime) -> str:
    """`14:05`, `Mon 14 Dec 2026`."""
    near = (when - now).total_seconds() < DAY / 2
    return when.strftime("%H:%M") if near else when.strftime("%a %d %b %Y, %H:%M")
