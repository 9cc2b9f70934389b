"""References: what the same evaluations are judged by besides the data set's own validation images and labels. No torch.

A reference has a name and is other labels of the same images (`labels={ReaL: FILE}`), or other images with labels of their own
(`validation={V2: FOLDER}`). A quantity that is measured on it is called `top-1 on ReaL`: a column of its own, an outcome of
its own, and the claims of top-1 judged again. Nothing else tells a reference from the paper's validation images.
"""

from __future__ import annotations

import re

ON = " on "
"""Between what is measured and the reference; no reference has it in its name."""
JUDGED = ("top-1", "top-5")
"""What is measured on references."""
COLUMN_SPLITS = ("val", "test", "withheld", "claims")
"""Splits of columns in tables.yaml, which no reference may be called."""
AT = "@"
"""Between a run, or an imported system, and the other images that it was evaluated on, in a path."""


def on_reference(quantity: str, reference: str) -> str:
    """`top-1 on ReaL`; the quantity itself for the validation images of the data set, whose name is empty."""
    return f"{quantity}{ON}{reference}" if reference else quantity


def plain_quantity(quantity: str) -> str:
    """`top-1` of `top-1 on ReaL`."""
    return quantity.partition(ON)[0]


def reference_of(quantity: str) -> str:
    """`ReaL` of `top-1 on ReaL`; empty for the validation images of the data set."""
    return quantity.partition(ON)[2]


def on_path(path: str, reference: str) -> str:
    """Where a result on other images lies, from where that on the validation images does: `D_256_s0@v2/dense/256`.

    `reference` is its folder's name; empty for the validation images.
    """
    if not reference:
        return path
    depth = 2 if path.startswith("imported/") else 1
    *parts, rest = path.split("/", depth) if path.count("/") >= depth else [path, ""]
    return "/".join(filter(None, ["/".join(parts) + f"{AT}{reference}", rest]))


def without_reference(path: str) -> str:
    """The path of the same result on the validation images."""
    return re.sub(rf"{AT}[^/]*", "", path)


def place_on_path(path: str) -> str:
    """The name of the other images that a result is on, `v2` of `D_256_s0@v2/dense/256`; empty for the validation images."""
    found = re.search(rf"{AT}([^/]*)", path)
    return found[1] if found else ""
