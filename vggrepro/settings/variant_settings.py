"""All settings of every variant: its changes laid over those of all runs, and checked before anything runs. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from vggrepro.core.validation import nearest_hint, validated
from vggrepro.paper.nets import transferable_layers, weight_shapes
from vggrepro.paper.runs import Run, file_name
from vggrepro.settings.variants import NOTHING, VariantSettings, deciding_key

if TYPE_CHECKING:
    from vggrepro.settings.models import Settings

_T = TypeVar("_T")


def settings_of_variants(settings: Settings) -> dict[str, Settings]:
    """All settings of each variant, by its name in file names; a ValueError that names what no run could have."""
    base = settings.model_dump(mode="json", exclude={"variants"})
    by_name: dict[str, Settings] = {}
    for name, variant in settings.variants.items():
        if file_name(name) in by_name:
            same = [other for other in settings.variants if file_name(other) == file_name(name)]
            raise ValueError(f"variants: expected names that differ in a letter or a digit, got {' and '.join(same)}")
        by_name[file_name(name)] = validated(type(settings), _overlaid(base, variant.changes), f"variants.{name}")
    return by_name


def _overlaid(base: Mapping[str, Any], changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {**base, **{block: {**base[block], **values} for block, values in changes.items()}}


def first_run_called(settings: Settings, text: str) -> Run:
    """The run of the first seed that `from` of a variant names: a variant of one run by its name, or any run by its label.

    Raises ValueError for a variant of several runs, and for a text that is no run or the label of no variant.
    """
    if text in settings.variants:
        runs = settings.variants[text].runs
        if len(runs) > 1:
            labels = " or ".join(replace(run, variant=file_name(text)).label for run in runs)
            raise ValueError(f"the variant {text!r} is of several runs: expected one of them, {labels}")
        return replace(runs[0], variant=file_name(text))
    try:
        run = Run.parse_label(text)
    except ValueError as error:
        raise ValueError(f"{error}{nearest_hint(text, list(settings.variants))}") from None
    names = {file_name(name): variant for name, variant in settings.variants.items()}
    if run.variant and (run.variant not in names or run.varied not in names[run.variant].runs):
        known = [replace(each, variant=name).label for name, variant in names.items() for each in variant.runs]
        raise ValueError(
            f"no variant has the run {text!r}{nearest_hint(text, known)}: the variants have {', '.join(known)}"
        )
    if run.localises:
        raise ValueError(f"{text!r} predicts boxes: expected a run that predicts classes, as all runs begin with")
    return run


def check_variants(settings: Settings) -> None:
    """Raise ValueError, with the variant and the key, for a variant that is none.

    Such is one of a text that is no run; one that begins with itself, or with a net of which no layer fits; one of a key that
    has no part in it; and one that is as the paper's run or another variant.
    """
    seen: dict[str, str] = {}
    for name, variant in settings.variants.items():
        try:
            _check_runs(settings, variant, file_name(name))
            _check_keys(settings, variant, file_name(name))
        except ValueError as error:
            raise ValueError(f"variants.{name}: {error}") from None
        for run in _own_runs(variant, file_name(name)):
            recipe = f"{run.varied.name}: {_recipe(settings, run)}"
            if recipe in seen:
                raise ValueError(
                    f"variants: {seen[recipe]!r} and {name!r} are the same of {run.varied.label}: leave one out"
                )
            seen[recipe] = name


def _own_runs(variant: VariantSettings, name: str) -> list[Run]:
    return [replace(run, variant=name) for run in variant.runs]


def _check_runs(settings: Settings, variant: VariantSettings, name: str) -> None:
    own = _in_key("of", lambda: _own_runs(variant, name))
    if len(set(own)) < len(own) or any(run.varied.variant for run in own):
        raise ValueError(f"of: expected each run once, got {', '.join(variant.of)}")
    if variant.begins not in (None, NOTHING):
        _in_key("from", lambda: first_run_called(settings, str(variant.begins)))
    for run in own:
        _check_begins(settings, run)


def _in_key(key: str, function: Callable[[], _T]) -> _T:
    try:
        return function()
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _check_begins(settings: Settings, run: Run) -> None:
    earlier, parent = [run], settings.named_parent(run)
    while parent is not None:
        if parent in earlier:
            raise ValueError(
                f"from: {' begins with '.join(each.label for each in (*earlier, parent))}: expected an end"
            )
        earlier.append(parent)
        # a variant that is checked later may begin with something that is no run
        parent = settings.named_parent(parent)
    parent = settings.parent(run)
    if parent and not transferred_layers(settings, run):
        raise ValueError(
            f"no layer of its net has the name and shape of one of {parent.label}, which it begins with: expected from: "
            f"{NOTHING}, or sizes that fit"
        )


def transferred_layers(settings: Settings, run: Run) -> list[str]:
    """The layers of a run that its parent's weights go into."""
    parent = settings.parent(run)
    if parent is None:
        return []
    nets = [(each.net, settings.of(each).model.layers) for each in (run, parent)]
    layers = transferable_layers(
        _weight_shapes(settings, run), _weight_shapes(settings, parent), same_net=nets[0] == nets[1]
    )
    return [layer for layer in layers if not (run.localises and layer == "fc8")]


def initial_layers(settings: Settings, run: Run) -> dict[str, list[str]]:
    """The layers of a run that begin with its parent's weights, `transferred`, and those that begin at `random`."""
    transferred = transferred_layers(settings, run)
    layers = [layer for layer in _weight_shapes(settings, run) if not layer.startswith("bn")]
    return {"transferred": transferred, "random": sorted(set(layers) - set(transferred))}


def _weight_shapes(settings: Settings, run: Run) -> dict[str, tuple[int, ...]]:
    model = settings.of(run).model
    return dict(weight_shapes(run.net, run.outputs(1000), width=model.width, fc=model.fc, own=model.layers))


def _check_keys(settings: Settings, variant: VariantSettings, name: str) -> None:
    """Every key has a part in one of the runs, and every run differs from the paper's."""
    own, runs = settings.of(Run("A", "256", variant=name)), _own_runs(variant, name)
    for block, key in variant.keys:
        usual, written = getattr(getattr(settings, block), key), "net" if key == "layers" else f"{block}.{key}"
        if variant.sweep and variant.sweep.key == written:
            continue
        if usual == getattr(getattr(own, block), key):
            raise ValueError(f"{written}: {usual} is what other runs have: leave it out")
        without = own.model_copy(update={block: getattr(own, block).model_copy(update={key: usual})})
        parts = [run for run in runs if _has_part(settings, run, own, without, key)]
        if not parts:
            raise ValueError(f"{written} has no part in {runs[0].varied.label}{deciding_key(block, key, runs[0])}")
    for run in runs:
        if not variant.sweep and _recipe(settings, run) == _recipe(settings, run.varied):
            raise ValueError(
                f"nothing differs from {run.varied.label}: expected a setting, a net, or what it begins with"
            )


def _has_part(settings: Settings, run: Run, own: Settings, without: Settings, key: str) -> bool:
    if key == "init" and len(transferred_layers(settings, run)) == len(_weight_shapes(settings, run)):
        return False
    return _own_part(own, run.varied) != _own_part(without, run.varied)


def _own_part(settings: Settings, run: Run) -> dict[str, Any]:
    """What settings decide of a run, its evaluations, and how its boxes are merged."""
    decided = settings.for_run(run).model_dump(mode="json")
    if decided["train"]["drop_epochs"] is not None:
        # a fixed schedule leaves nothing for the rule to decide
        decided["train"] |= {"drops": None, "patience": None}
    return decided | settings.model_dump(mode="json", include={"evaluate", *(["merge"] if run.localises else [])})


def _recipe(settings: Settings, run: Run) -> dict[str, Any]:
    """The same with the run that it begins with."""
    parent = settings.parent(run)
    return _own_part(settings.of(run), run.varied) | {"parent": parent and parent.name}


def differs(settings: Settings, run: Run) -> bool:
    """Whether a variant's run differs from the one that it varies; a point of a sweep may not."""
    return _recipe(settings, run) != _recipe(settings, run.varied)
