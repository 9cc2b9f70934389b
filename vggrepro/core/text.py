"""Text files of other people: their encoding and their line ends are recognised, not assumed. No torch."""

from __future__ import annotations

import codecs
import json
from typing import Any

BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by the bytes that a file begins with; UTF-32 before UTF-16, whose mark is a part of its own."""


def encoding_of(data: bytes) -> str:
    """The encoding of a text, or of its beginning: by its byte order mark, else UTF-8, else Windows' Latin alphabet."""
    for mark, name in BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return name
    try:
        # a beginning may end within a character
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def decode_text(data: bytes) -> str:
    """A text file's content with `\\n` as line ends, whatever its encoding and line ends; unknown bytes become a mark."""
    return data.decode(encoding_of(data), "replace").replace("\r\n", "\n").replace("\r", "\n")


def text_lines(data: bytes) -> list[str]:
    """The lines of a text file that are not empty."""
    return [line for line in decode_text(data).split("\n") if line.strip()]


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401
    """The value of JSON that a person or another program wrote; a ValueError for a key that stands twice in an object."""
    return json.loads(text, object_pairs_hook=_without_repetition)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {key!r} stands twice in one object: keep one of them")
        values[key] = value
    return values
