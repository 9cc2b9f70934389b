"""How a user's mistake ends Snakemake. It imports nothing of ours: what it guards may fail to be imported."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

_Function = TypeVar("_Function", bound=Callable[..., object])


@contextmanager
def one_message() -> Iterator[None]:
    """A block in which a user's mistake ends Snakemake with its message, and without lines of Python.

    Snakemake would also pass over an exception of an input function, where the job's outputs are there already.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        raise SystemExit(f"vggrepro: {error}") from None


def with_one_message(function: _Function) -> _Function:
    """A function that Snakemake calls, which ends so, too."""

    @functools.wraps(function)
    def guarded(*arguments: object, **named: object) -> object:
        with one_message():
            return function(*arguments, **named)

    return guarded  # type: ignore[return-value]
