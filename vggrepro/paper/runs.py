"""The trainings that the paper measured, as typed values. No torch.

A *run* is one training; section 3.1 says which other run it is initialised from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from vggrepro.paper.nets import NETS

SMALLEST_SCALE = 224
"""The smallest scale, of training or of test, because a net needs an image at least as large as its input."""

TRAINING_STAGES = {"scratch": "train", "384": "finetune", "jitter": "finetune", "localisation": "localise"}
"""The stages of training of section 3.1 and appendix A, in their order, and the block of settings by which each is trained."""

OBJECTIVES = ("classification", "SCR", "PCR")
"""What a net is trained for: class scores, or a box shared by all classes (SCR) or one per class (PCR; appendix A)."""

_VARIANT = r"(?!(?:fc|scr|pcr)(?:_|$))[a-z0-9][a-z0-9.-]*"
_NAME = re.compile(
    rf"([A-Za-z0-9-]+?)_([0-9]+(?:-[0-9]+)?)(?:_(scr|pcr))?(_fc)?(?:_({_VARIANT}))?_s(0|[1-9][0-9]*)", re.ASCII
)
_LABEL = re.compile(r"([A-Za-z0-9-]+?)(?:-(SCR|PCR))?(-fc)?(?: \(([^/()]+)\))?/([0-9]+|\[[0-9]+;[0-9]+\])", re.ASCII)
_SCALE = re.compile(r"([1-9][0-9]*)(?:-([1-9][0-9]*))?", re.ASCII)


def file_name(name: str) -> str:
    """A name of the user's in file names: `Less decay` -> `less-decay`."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")


def is_variant(name: str) -> bool:
    """Whether a name of a run is one of a variant."""
    match = _NAME.fullmatch(name)
    return bool(match and match[5])


@dataclass(frozen=True, order=True)
class Run:
    """One training: a net at a training scale S, for an objective, of all layers or of the fully connected ones alone.

    Of the paper; or a `variant` of such a run, in which the user's settings differ (`Settings.variants`).
    """

    net: str
    S: str
    """Training scale: `384`, or the range that it is drawn from, `256-512`. Any from 224 on, of which the paper has three."""
    layers: Literal["all", "fc"] = "all"
    seed: int = 0
    objective: Literal["classification", "SCR", "PCR"] = "classification"
    variant: str = ""
    """Name of the variant, as in file names; empty for a run of the paper."""

    def __post_init__(self) -> None:
        known = (self.net, NETS), (self.layers, ("all", "fc")), (self.objective, OBJECTIVES)
        for value, values in known:
            if value not in values:
                raise ValueError(f"no run has {value!r}: expected one of {', '.join(values)}")
        _check_scale(self.S)
        if self.variant and not re.fullmatch(_VARIANT, self.variant):
            raise ValueError(f"no variant is called {self.variant!r} in file names: expected a-z, 0-9, dots and dashes")
        if self.seed < 0 or (self.layers == "fc" and self.stage == "scratch"):
            raise ValueError(
                f"no run is called {self.name}: expected a seed of at least 0, and another S than 256 where only FC "
                "layers are fine-tuned"
            )

    @property
    def scale_ends(self) -> tuple[int, int]:
        """The smallest and the largest S, in the paper's pixels."""
        low, _, high = self.S.partition("-")
        return int(low), int(high or low)

    @property
    def localises(self) -> bool:
        """Whether the net predicts boxes instead of class scores."""
        return self.objective != "classification"

    @property
    def jitters(self) -> bool:
        """Whether S is drawn from a range, anew for every image."""
        return "-" in self.S

    @property
    def scale_order(self) -> tuple[bool, int, int]:
        """Sort key of training scales: single ones, then ranges, each from the smallest on."""
        return self.jitters, *self.scale_ends

    @property
    def stage(self) -> str:
        """Its stage of training, as `TRAINING_STAGES` and `tables/protocol.yaml` call it.

        A training at another scale than the paper's follows the pattern of section 3.1: a single one that of S = 384, a range
        that of [256;512].
        """
        if self.localises:
            return "localisation"
        return "scratch" if self.S == "256" else "jitter" if self.jitters else "384"

    @property
    def block(self) -> str:
        """The block of settings by which it is trained."""
        return TRAINING_STAGES[self.stage]

    @property
    def name(self) -> str:
        """The run in file names: `D_256-512_fc_s0`, `D_384_pcr_s0`, `C_256_less-decay_s0`."""
        parts = (self.net, self.S, self.objective.lower() * self.localises, "fc" * (self.layers == "fc"), self.variant)
        return "_".join([part for part in parts if part] + [f"s{self.seed}"])

    @property
    def label(self) -> str:
        """The run as the paper writes it: `D-fc/[256;512]`, `D-PCR/384`; of a variant, `C (less-decay)/256`."""
        parts = (self.net, self.objective * self.localises, "fc" * (self.layers == "fc"))
        variant = f" ({self.variant})" if self.variant else ""
        return "-".join(part for part in parts if part) + f"{variant}/{printed_scale(self.S)}"

    @property
    def varied(self) -> Run:
        """The run of the paper that a variant varies; of a run of the paper, itself."""
        return replace(self, variant="")

    def outputs(self, classes: int) -> int:
        """The number of outputs: a score per class, one box of 4 numbers (SCR), or a box per class (PCR)."""
        return {"classification": classes, "SCR": 4, "PCR": 4 * classes}[self.objective]

    @classmethod
    def parse(cls, name: str) -> Run:
        """The inverse of `name`; a ValueError for anything else."""
        match = _NAME.fullmatch(name)
        if not match:
            raise ValueError(
                f"no run is called {name!r}: expected a name like D_256_s0, D_256-512_fc_s0 or D_384_pcr_s0"
            )
        net, S, objective, fc, variant, seed = match.groups()
        return cls._of_parts(net, S, fc, int(seed), objective, variant)

    @classmethod
    def parse_label(cls, label: str) -> Run:
        """The inverse of `label`, with seed 0; a variant may be written as the user names it. A ValueError for other texts."""
        match = _LABEL.fullmatch(label)
        if not match:
            raise ValueError(
                f"{label!r} is no run: expected net/train S, such as D/[256;512], D-fc/[256;512], D-PCR/384 or, of a variant, "
                "C (its name)/256"
            )
        net, objective, fc, variant, scale = match.groups()
        return cls._of_parts(net, scale.strip("[]").replace(";", "-"), fc, 0, objective, file_name(variant or ""))

    @classmethod
    def _of_parts(cls, net: str, S: str, fc: str | None, seed: int, objective: str | None, variant: str | None) -> Run:
        trained: Any = objective.upper() if objective else "classification"
        return cls(net, S, "fc" if fc else "all", seed, trained, variant or "")

    def parent(self, *, staged: bool = True) -> Run | None:
        """The run of the paper that this one is initialised from; None where it starts from random weights.

        A variant may be initialised from another one (`Settings.parent`).
        PAPER 3.1: B-E from A; S = 384 from S = 256 of the same net; S in [256;512] from S = 384. Other scales in the same way:
        a single one from S = 256, a range from S = 384.
        PAPER A.1: a net that predicts boxes from the classification net of its scale.
        `staged=False` follows the paper's remark that a good random initialisation makes A unnecessary.
        """
        if self.stage == "scratch":
            return Run("A", "256", seed=self.seed) if staged and self.net not in ("A", "A-LRN") else None
        S = {"384": "256", "jitter": "384", "localisation": self.S}[self.stage]
        return Run(self.net, S, seed=self.seed)


def _check_scale(S: str) -> None:
    match = _SCALE.fullmatch(S)
    low, high = (int(match[1]), int(match[2] or 0)) if match else (0, 0)
    if low < SMALLEST_SCALE or (high and high <= low):
        raise ValueError(
            f"no run has {S!r}: expected a training scale S of at least {SMALLEST_SCALE}, such as 384, or a range "
            "of such scales, the smaller first: 256-512, in tables [256;512]"
        )


def printed_scale(S: str) -> str:
    """`256-512` -> `[256;512]`, as the paper prints it."""
    return f"[{S.replace('-', ';')}]" if "-" in S else S


def with_ancestors(
    runs: Iterable[Run], *, parent_of: Callable[[Run], Run | None] = Run.parent, adopted: Collection[Run] = ()
) -> list[Run]:
    """Runs and all runs that they are initialised from, parents first; `adopted` runs are not trained and need no parent."""
    wanted: dict[Run, None] = {}

    def visit(run: Run) -> None:
        if run not in adopted and (parent := parent_of(run)) is not None:
            visit(parent)
        wanted.setdefault(run)

    for run in runs:
        visit(run)
    return list(wanted)


def members_name(members: tuple[Run, ...], seed: int) -> str:
    """Runs whose features are stacked, in file names: `D_256-512_s0+E_256-512_s0`."""
    return "+".join(replace(run, seed=seed).name for run in members)
