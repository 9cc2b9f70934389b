"""Systems: what the rows of tables measure, parsed from the text in a CSV or in the settings. No torch.

An *evaluation* is a run under a protocol at one test scale Q. A *system* is a weighted average of evaluations (over scales,
protocols and nets), or the union of their boxes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from vggrepro.paper.runs import SMALLEST_SCALE, Run, file_name

PROTOCOLS = ("dense", "multi-crop", "centre-crop")
"""How a net is tested (section 3.2 and, for the centre crop of Table 8, appendix A)."""


@dataclass(frozen=True, order=True)
class Evaluation:
    """A run under a protocol at one test scale Q, which gives one store of scores or of boxes."""

    run: Run
    protocol: str
    Q: int

    @property
    def path(self) -> str:
        """Its folder below `scores/` or `boxes/`."""
        return f"{self.run.name}/{self.protocol}/{self.Q}"

    @property
    def job(self) -> str:
        """The folder below `scores/` or `boxes/` into which one job writes the stores of every Q."""
        return f"{self.run.name}/{self.protocol}"

    def seeded(self, seed: int) -> Evaluation:
        """The same evaluation of the run with another seed."""
        return replace(self, run=replace(self.run, seed=seed))

    def varied_as(self, variant: str) -> Evaluation:
        """The same evaluation of a variant of the run."""
        return replace(self, run=replace(self.run, variant=variant))


@dataclass(frozen=True, order=True)
class Imported:
    """Somebody else's system, under the name that the user gives it; its store takes the place of an evaluation's."""

    name: str

    @property
    def path(self) -> str:
        """Its folder below `scores/`."""
        return f"imported/{file_name(self.name)}"

    job = path

    def seeded(self, seed: int) -> Imported:
        """Itself, because seeds are of runs that are trained here."""
        return self

    def varied_as(self, variant: str) -> Imported:
        """Itself, because variants are of runs that are trained here."""
        return self


System = tuple[tuple[Evaluation | Imported, Fraction], ...]
"""Evaluations of seed 0 and their weights, which sum to one; boxes are pooled instead, whatever their weights."""


def evaluations_of(system: System) -> tuple[Evaluation, ...]:
    """The evaluations of ours that a system averages."""
    return tuple(member for member, _ in system if isinstance(member, Evaluation))


def with_seed(system: System, seed: int) -> System:
    """The same system of the runs with another seed."""
    return tuple((member.seeded(seed), weight) for member, weight in system)


def is_imported(system: System) -> bool:
    """Whether a system is somebody else's alone."""
    return len(system) == 1 and not evaluations_of(system)


def seeded_mixtures(
    systems: Iterable[System], seeds: Sequence[int], stores: Collection[str]
) -> dict[tuple[System, int], dict[str, Fraction]]:
    """The weight of each store, by its path, in every system and seed; of systems whose `stores` are there for every seed."""
    mixtures = {
        system: {seed: {member.path: weight for member, weight in with_seed(system, seed)} for seed in seeds}
        for system in systems
    }
    return {
        (system, seed): mixture
        for system, by_seed in mixtures.items()
        if all(path in stores for mixture in by_seed.values() for path in mixture)
        for seed, mixture in by_seed.items()
    }


def parse_system(
    text: str, protocol: str, objective: str = "", layers: str = "", imported: Collection[str] = ()
) -> System:
    """The evaluations and weights of `D/256/224,256,288 + E/[256;512]/384` under `dense`, `multi-crop & dense`, ...

    PAPER 3.2, 4.3, 4.4: posteriors are averaged over scales, then over protocols, then over nets.
    PAPER A.1: with an `objective` of localisation and its fine-tuned `layers`, boxes are pooled instead.
    A member may be the name of an `imported` system, or of a variant: `C (less decay)/256/256`. Raises ValueError for a text
    that is no system.
    """
    members, protocols = text.split(" + "), protocol.split(" & ")
    if set(protocols) - set(PROTOCOLS) or len(set(protocols)) < len(protocols):
        raise ValueError(f"no protocol is called {protocol!r}: expected one of {PROTOCOLS}, or several joined by ' & '")
    weights: dict[Evaluation | Imported, Fraction] = {}
    for member in members:
        if member in imported:
            system = Imported(member)
            weights[system] = weights.get(system, Fraction(0)) + Fraction(1, len(members))
            continue
        run, scales = _parse_member(member)
        if objective:
            localising: Any = {"objective": objective, "layers": layers}
            run = replace(run, **localising)
        for name in protocols:
            for q in scales:
                key = Evaluation(run, name, q)
                share = Fraction(1, len(members) * len(protocols) * len(scales))
                weights[key] = weights.get(key, Fraction(0)) + share
    return tuple(weights.items())


def averaged_system(evaluations: Iterable[Evaluation]) -> System:
    """The average of evaluations as the paper takes it: over scales, then over protocols, then over nets."""
    nets: dict[Run, dict[str, set[int]]] = {}
    for evaluation in evaluations:
        nets.setdefault(evaluation.run, {}).setdefault(evaluation.protocol, set()).add(evaluation.Q)
    return tuple(
        (Evaluation(run, protocol, q), Fraction(1, len(nets) * len(protocols) * len(scales)))
        for run, protocols in nets.items()
        for protocol, scales in protocols.items()
        for q in sorted(scales)
    )


def parse_fusion(text: str, imported: Collection[str]) -> System:
    """A system that the user writes as in a table, such as `D/384/384 + My net (multi-crop)`; without brackets, dense."""
    match = re.fullmatch(rf"(.*) \(({'|'.join(PROTOCOLS)})((?: & [a-z-]+)*)\)", text)
    systems, protocol = (match[1], match[2] + match[3]) if match else (text, "dense")
    return parse_system(systems, protocol, imported=imported)


def _parse_member(text: str) -> tuple[Run, list[int]]:
    """The run and the test scales of `D-fc/[256;512]/256,384,512`."""
    label, _, scales = text.rpartition("/")
    try:
        run = Run.parse_label(label)
        Qs = [int(q) for q in scales.split(",")] if re.fullmatch("[1-9][0-9]*(,[1-9][0-9]*)*", scales, re.ASCII) else []
        if run.localises or not Qs or len(set(Qs)) < len(Qs) or min(Qs) < SMALLEST_SCALE:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"{text!r} is no system: expected net/train S/test Q, such as D/256/224,256,288 or E/[256;512]/384, with S "
            f"and Q of at least {SMALLEST_SCALE}, and of a range of S the smaller first"
        ) from None
    return run, Qs


def parse_net(text: str) -> Run:
    """The run of `D/[256;512]`, as the tables of transfer write it, or of `D/256-512`, which no shell takes apart."""
    with suppress(ValueError):
        run = Run.parse_label(re.sub(r"/([0-9]+)-([0-9]+)$", r"/[\1;\2]", text))
        if not run.localises and run.layers == "all":
            return run
    raise ValueError(
        f"{text!r} is no net: expected net/train S, such as D/[256;512], with S of at least {SMALLEST_SCALE}"
    )


def released_run(text: str) -> Run:
    """The run of `A/256`, whose place a released net takes; without a scale, such as `D`, that with S in [256;512].

    The authors released their nets of that kind alone. Raises ValueError for a text that is no net.
    """
    return parse_net(text if "/" in text else f"{text}/[256;512]")
