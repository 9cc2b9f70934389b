"""Tables 1 and 2: layers and numbers of parameters, read off the full-size nets (section 2). torch is imported when needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from vggrepro.paper.nets import blocks_of, written
from vggrepro.paper.tables import Published, PublishedTable
from vggrepro.scores.outcomes import Outcomes
from vggrepro.settings.blocks import NetSettings
from vggrepro.settings.models import Settings
from vggrepro.tables.cells import Cell, published_cell
from vggrepro.tables.measurement import Inputs, Measurement

NOTE = "Read off the full-size nets, whatever the preset; they are built without memory behind their parameters."


def measure_layers(published: PublishedTable, _settings: Settings, _inputs: Inputs) -> Measurement:
    """Table 1: the layers of every net in the paper's notation; a net is a column."""
    cells = _cells(published, _layer_rows([column.name for column in published.columns]))
    different = sum(cell.text != cell.published for row in cells for cell in row if cell.status == "measured")
    agreement = f"{different} cells differ from the published ones." if different else "Every cell is as published."
    return Measurement(cells, (NOTE, agreement), Outcomes(published.number, ()))


def measure_parameters(published: PublishedTable, _settings: Settings, _inputs: Inputs) -> Measurement:
    """Table 2: millions of parameters of every net."""
    from vggrepro.nets.vgg import count_parameters, full_size_net

    counts = {
        column.name: {count_parameters(full_size_net(net)) for net in column.name.split(", ")}
        for column in published.columns
    }
    unequal = [name for name, each in counts.items() if len(each) > 1]
    if unequal:
        raise ValueError(f"Table 2 has one column for {unequal[0]}: expected nets with as many parameters")
    millions = {name: each.pop() / 1e6 for name, each in counts.items()}
    return Measurement(_cells(published, [millions]), (NOTE,), Outcomes(published.number, ()))


def _cells(
    published: PublishedTable, ours: Sequence[Mapping[str, str] | Mapping[str, float]]
) -> tuple[tuple[Cell, ...], ...]:
    """The cells of all rows, from what we count in each row by net."""
    return tuple(
        tuple(_cell(published_cell(row, net), row.cells[net], counted[net]) for net in row.cells)
        for row, counted in zip(published.rows, ours, strict=True)
    )


def _cell(cell: Cell, printed: Published, counted: str | float) -> Cell:
    cell = replace(cell, published=printed.text)
    if printed.spanned:
        return replace(cell, status="spanned", text=str(counted))
    if isinstance(counted, str):
        return replace(cell, status="measured", text=counted)
    return replace(cell, status="measured", value=counted, delta=counted - float(printed.text))


def _layer_rows(nets: Sequence[str]) -> list[dict[str, str]]:
    """Table 1's rows: weight layers, input, five blocks of convolutions each with its pooling, fully connected layers."""
    stacks = {net: [[written(layer) for layer in block] for block in blocks_of(net)] for net in nets}
    depths = {net: str(sum(layer != "LRN" for block in stacks[net] for layer in block) + 3) for net in nets}
    left_of = dict(zip(nets, (nets[0], *nets), strict=False))
    side = NetSettings().crop
    rows = [depths, dict.fromkeys(nets, f"{side}x{side} RGB image")]
    for b in range(5):
        rows += [{net: _block_text(stacks[net][b], stacks[left_of[net]][b]) for net in nets}]
        rows += [dict.fromkeys(nets, "maxpool")]
    return [*rows, {net: _head_text(net) for net in nets}]


def _block_text(layers: Sequence[str], left: Sequence[str]) -> str:
    """A block's layers, equal ones counted; those that the net on the left does not have are bold."""
    old, new = Counter(layers) & Counter(left), Counter(layers) - Counter(left)
    return ", ".join([*_counted_names(old), *(f"**{name}**" for name in _counted_names(new))])


def _counted_names(names: Mapping[str, int]) -> list[str]:
    """`conv3-64`, `conv3-128 x2`."""
    return [name if count == 1 else f"{name} x{count}" for name, count in names.items()]


def _head_text(net: str) -> str:
    from vggrepro.nets.vgg import full_size_net

    full = full_size_net(net)
    units = Counter(f"FC-{layer.out_features}" for layer in (full.fc6, full.fc7, full.fc8))
    return ", ".join([*_counted_names(units), "soft-max"])
