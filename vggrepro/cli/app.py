"""The command `vggrepro`: its groups of commands, what becomes of an error, and the exit status.

A group of commands is a file beside this one. A command's signature and docstring are its arguments and its help; what it
needs is imported in its body, so that making a table does not wait for torch.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from cyclopts import App, CycloptsError, Group, Parameter

from vggrepro.cli.failures import fail, message_of, report_unexpected
from vggrepro.core.instructions import Instructions, pin_instructions
from vggrepro.core.places import find_caches

GROUPS = ("data", "training", "evaluation", "tables", "diagnosis", "external", "planning", "packs", "reference")
"""The files of commands, in the order of the help."""

_Command = TypeVar("_Command", bound=Callable[..., None])


def _informative_default(value: object) -> str | None:
    return None if value is None or value is False or value == () else str(value)


app = App(
    name="vggrepro",
    help="A command per step from images to the report. The rules of the workflow call these commands.",
    help_format="plaintext",
    group_commands="Options",
    # of an option that is given twice the last value counts; no `--no-dry-run` beside `--dry-run`
    default_parameter=Parameter(
        negative=(), consume_multiple=True, allow_repeating=True, show_default=_informative_default
    ),
)


def command_group(title: str) -> Callable[[_Command], _Command]:
    """A decorator that makes a command of a function; the help shows the group's commands under their title."""
    group = Group.create_ordered(title)
    return lambda function: app.command(function, group=group)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. A user's mistake ends with one message and exit status 2, a mistake of the program with a traceback."""
    # what is imported lives to the end: looking for garbage among it less often saves a tenth of loading torch
    gc.set_threshold(10_000)
    # and at its end not at all saves a third of a second
    atexit.register(gc.freeze)
    find_caches()
    for group in GROUPS:
        importlib.import_module(f"vggrepro.cli.{group}")
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    # a scheduler's SIGTERM ends like Ctrl-C: temporary files are cleared away on the way out
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
        bound.apply_defaults()
        # here and nowhere else, because what a command imports chooses its instructions as it is loaded
        pin_instructions(instructions_of(bound.arguments))
        command(*bound.args, **bound.kwargs)
    except CycloptsError as error:
        return fail(tokens, f"{error} (see {' '.join(['vggrepro', *(error.command_chain or ())])} --help)")
    except (ValueError, OSError, MemoryError) as error:
        return fail(tokens, message_of(error))
    except KeyboardInterrupt:
        return fail(tokens, "stopped", status=130)
    except Exception as error:
        if type(error).__name__ != "OutOfMemoryError":
            return report_unexpected(tokens, error)
        resume = "the same command resumes from the last checkpoint, or train on GPUs with more memory"
        advice = resume if tokens[0] == "train" else "lower evaluate.batch_pixels"
        return fail(tokens, f"out of GPU memory: {advice} ({error})")
    return 0 if tokens else 2


def instructions_of(arguments: Mapping[str, object]) -> Instructions:
    """The instructions that the settings among a command's arguments ask for.

    A command without settings takes those that all CPUs have: it computes little, and what it writes is the same everywhere.
    """
    text = getattr(arguments.get("step"), "settings", arguments.get("settings"))
    if text is None:
        return "avx2"
    from vggrepro.cli.options import instructions_in

    return instructions_in(str(text))
