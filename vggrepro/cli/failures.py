"""What a user sees of an error: one message for a mistake, a traceback and a file to report for what nobody expected."""

from __future__ import annotations

import linecache
import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from vggrepro.core import provenance
from vggrepro.core.paths import ROOT
from vggrepro.core.printable import visible

LINE_ENDS = "\n"
"""What stays of the characters that a terminal does not print."""
UNEXPECTED = 70
"""Exit status of a mistake of the program, as sysexits.h has it."""


def fail(tokens: Sequence[str], message: object, *, status: int = 2) -> int:
    """Print one message for a command; the exit status."""
    print(f"vggrepro {tokens[0]}: {visible(str(message), kept=LINE_ENDS)}", file=sys.stderr)
    return status


def message_of(error: ValueError | OSError | MemoryError) -> str:
    """The message of an error that a user can do something about.

    Ours names its file. One that a library raised deep inside gets the name of the file that was being read or written.
    """
    if isinstance(error, MemoryError):
        return f"{_file_behind(error)}out of memory: take a machine with more, or fewer --threads ({error or 'no details'})"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {(error.strerror or 'cannot be used').lower()}"
    return str(error) if _is_ours(error) else f"{_file_behind(error)}{error}"


def report_unexpected(tokens: Sequence[str], error: Exception) -> int:
    """Print the traceback of a mistake of the program, write it to a file with what a report needs, and ask for the report."""
    traceback.print_exception(error)
    lines = [f"vggrepro {shlex.join(tokens)}", *(f"{k}: {v}" for k, v in provenance.provenance_record().items())]
    text = "\n".join([*lines, "", *traceback.format_exception(error)])
    handle, name = tempfile.mkstemp(prefix="vggrepro-error-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(visible(text, kept=LINE_ENDS))
    return fail(
        tokens,
        f"this is a mistake of the program, not yours ({type(error).__name__}). Please report it with the file {name}",
        status=UNEXPECTED,
    )


def _frames(error: BaseException) -> list[TracebackType]:
    """The calls that led to an error, the innermost first."""
    calls, call = [], error.__traceback__
    while call is not None:
        calls.append(call)
        call = call.tb_next
    return calls[::-1]


def _is_ours(error: BaseException) -> bool:
    """Whether a `raise` of this package made an error, with a message for users."""
    calls = _frames(error)
    if not calls:
        return True
    file = calls[0].tb_frame.f_code.co_filename
    line = linecache.getline(file, calls[0].tb_lineno).strip()
    return Path(file).is_relative_to(ROOT / "vggrepro") and line.startswith("raise")


def _file_behind(error: BaseException) -> str:
    """`PATH: ` for the file that the innermost function was at; "" where no function knows one."""
    for call in _frames(error):
        paths = [value for value in call.tb_frame.f_locals.values() if isinstance(value, Path)]
        if paths:
            return f"{paths[0]}: "
    return ""
