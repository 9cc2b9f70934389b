"""Steps of a training that were recorded against the same steps taken again: how far rounding may have moved them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggrepro.recompute.findings import Finding, compared_numbers

StepNumbers = Mapping[str, Any]
"""`loss` before a step, and by parameter the `norms` of its gradient, its value after the step and its change."""

Tolerances = dict[str, float]
TOLERANCES: dict[str, Tolerances] = {
    "fp32": {"loss": 1e-5, "gradients": 1e-3, "weights": 1e-6, "changes": 1e-3},
    "tf32": {"loss": 1e-3, "gradients": 3e-2, "weights": 1e-5, "changes": 3e-2},
    "bf16": {"loss": 1e-2, "gradients": 1.5e-1, "weights": 1e-4, "changes": 1e-1},
}
"""The largest relative difference that rounding explains, by the precision of the training; docs/guides/recompute.md derives
them. The recomputation itself is in fp32."""
SPREADS, WIDEST = 3, 0.5
"""A recorded step may be off by so many times what the perturbed steps are, but never by more than half."""


def tolerances_of(train: Mapping[str, Any]) -> Tolerances:
    """Tolerances by precision; 50 times as wide where a device cut the crops: a few pixels may be off by one level."""
    return {name: (50 if train["on_device"] else 1) * value for name, value in TOLERANCES[train["precision"]].items()}


def differ(findings: Iterable[Finding]) -> bool:
    """Whether any of them differs."""
    return any(finding.status == "differs" for finding in findings)


def compared_steps(
    about: str,
    kept: Sequence[StepNumbers],
    again: Sequence[StepNumbers],
    tolerances: Tolerances,
    perturbed: Sequence[Sequence[StepNumbers]] = (),
) -> Iterator[Finding]:
    """The findings on the loss, and on the gradients, values and changes of all parameters, of steps kept and taken again.

    `perturbed`: the steps taken again from weights that are a little off. As far as they are from `again`, times `SPREADS`, so
    may those be that were kept.
    """
    span = f"steps 1 to {len(kept)}" if len(kept) > 1 else "step 1"
    names = list(again[0]["norms"])
    if any(set(step["norms"]) != set(names) for step in kept):
        yield Finding(
            about, "parameters", "differs", f"by Table 1 {', '.join(names)}; recorded {', '.join(kept[0]['norms'])}"
        )
        return
    theirs, ours, others = (
        _numbers(kept, names),
        _numbers(again, names),
        [_numbers(steps, names) for steps in perturbed],
    )
    for what, tolerance in tolerances.items():
        scale = np.maximum(theirs[what] + _rounding(theirs, what, tolerances), 1e-300)
        apart = [np.zeros(scale.shape), *(np.abs(other[what] - ours[what]) / scale for other in others)]
        spread = np.nan_to_num(np.max(apart, axis=0), nan=0.0, posinf=0.0)
        name = f"loss of {span}" if what == "loss" else f"norms of {what} in {span}"
        allowed = tolerance + np.minimum(SPREADS * spread, WIDEST)
        note = _place(np.abs(ours[what] - theirs[what]) / scale / allowed, names, spread)
        yield compared_numbers(about, name, ours[what], theirs[what], tolerance=allowed, scale=scale, note=note)


def _place(tolerances: NDArray[np.float64], names: Sequence[str], spread: NDArray[np.float64]) -> str:
    """Where the difference of the most tolerances is, and how far the perturbed steps are off there."""
    tolerances = np.nan_to_num(tolerances, nan=np.inf)
    step, *place = place_of = tuple(map(int, np.unravel_index(int(tolerances.argmax()), tolerances.shape)))
    note = f"at {names[place[0]]} in step {step + 1}" if place else f"in step {step + 1}"
    if not spread.any():
        return note
    return f"{note}, where the same steps from weights that are half a millionth off differ by {spread[place_of]:.2g}"


def _numbers(steps: Sequence[StepNumbers], names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Losses [steps], and gradients, weights and changes [steps, parameters]."""
    norms = np.array([[step["norms"][name] for name in names] for step in steps])
    parts = dict(zip(("gradients", "weights", "changes"), np.moveaxis(norms, -1, 0), strict=True))
    return {"loss": np.array([step["loss"] for step in steps])} | parts


def _rounding(numbers: Mapping[str, NDArray[np.float64]], what: str, tolerances: Tolerances) -> Any:  # noqa: ANN401
    """[steps, parameters or 1]: what a difference is also measured by, beside the norm itself, which may be next to nothing.

    A gradient is a sum whose parts may cancel: a thousandth of the step's largest. A weight that began at 0 is all change, and
    as far off as its changes. A change is a difference of weights, each rounded to 2^-24 of its size.
    """
    if what == "gradients":
        return 1e-3 * numbers["gradients"].max(1, keepdims=True)
    if what == "weights":
        return numbers["changes"].cumsum(0) * tolerances["changes"] / tolerances["weights"]
    return 2.0**-24 * numbers["weights"] / tolerances["changes"] if what == "changes" else 0.0
