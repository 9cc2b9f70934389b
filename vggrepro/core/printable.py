"""Text of others on its way to a terminal: what a reader cannot see is shown. No torch."""

from __future__ import annotations

import unicodedata

HIDDEN = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of control characters, half characters, and separators of lines and paragraphs."""
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of the text behind them."""
SHOWN_CHARACTERS = 200
"""Characters of a value that a message shows at most."""


def is_hidden(character: str) -> bool:
    """Whether a character is not seen, or moves what is: a line break, an escape code, half of a character."""
    return character in TURNING or unicodedata.category(character) in HIDDEN


def visible(text: str, *, kept: str = "") -> str:
    r"""A text in which hidden characters are written out, such as `\x1b`; those in `kept` stay."""
    if text.isprintable():
        return text
    return "".join(c.encode("unicode_escape").decode() if is_hidden(c) and c not in kept else c for c in text)


def shortened(value: object) -> str:
    """A value as Python writes it, cut where it is long, for a message."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}... ({len(text):,} characters)"
