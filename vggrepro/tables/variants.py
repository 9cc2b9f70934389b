"""Rows of the user's variants: what differs in each, and its cells. They stand apart from the paper's rows. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from vggrepro.paper.nets import parameter_count
from vggrepro.paper.runs import Run
from vggrepro.paper.systems import evaluations_of
from vggrepro.paper.tables import Row
from vggrepro.settings.models import Settings
from vggrepro.settings.variants import NOTHING
from vggrepro.tables.cells import Cell, ChangedKey, VariantRow


def variant_row(row: Row, keys: tuple[str, ...], cells: tuple[Cell, ...], settings: Settings) -> VariantRow:
    """The row of a variant, with its `keys` as printed, before anything is judged."""
    assert row.varies is not None
    variant = settings.variants[row.name]
    return VariantRow(
        name=row.name,
        keys=keys,
        varies=row.varies,
        changes=variant_changes(settings, run_of(row)),
        cells=cells,
        differences=(None,) * len(cells),
        sweep=variant.sweep.name if variant.sweep else "",
        key=variant.sweep.key if variant.sweep else "",
    )


def run_of(row: Row) -> Run:
    """The run that a variant's row measures, of the first seed."""
    return row.members[0] if row.members else evaluations_of(row.system or ())[0].run


def variant_changes(settings: Settings, run: Run) -> tuple[ChangedKey, ...]:
    """What differs in a variant's run from the one that it varies: settings, its net, what it begins with."""
    variant = settings.variant_of(run)[1]
    own, changes = settings.of(run), []
    for block, key in variant.keys:
        if key == "layers":
            changes.append(ChangedKey("net", net_in_words(run.net, own.model.layers), net_in_words(run.net, None)))
            continue
        texts = [_text(_effective(each, run.varied, block, key)) for each in (own, settings)]
        if texts[0] != texts[1]:
            changes.append(ChangedKey(f"{block}.{key}", *texts))
    parents = [settings.parent(each) for each in (run, run.varied)]
    if parents[0] != parents[1]:
        changes.append(ChangedKey("from", *(parent.label if parent else NOTHING for parent in parents)))
    return tuple(changes)


def _effective(settings: Settings, run: Run, block: str, key: str) -> object:
    """The value of a setting that a run is made with: in later stages, that of its own block."""
    trained = settings.for_run(run).train
    return (
        getattr(trained, key) if block in ("train", "finetune", "localise") else getattr(getattr(settings, block), key)
    )


def _text(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "not set", True: "yes", False: "no"}[value]
    return (
        ",".join(map(_text, value))
        if isinstance(value, tuple)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def net_in_words(net: str, own: Sequence[int | str] | None) -> str:
    """A net's layers, if they are not those of Table 1, and its parameters at the paper's size: `E, 143.7M parameters`."""
    layers = " ".join(map(str, own)) if own else net
    return f"{layers}, {parameter_count(net, own) / 1e6:.1f}M parameters"
