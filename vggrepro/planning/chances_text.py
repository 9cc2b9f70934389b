"""The text about claims: how likely each is to be decided, and what a budget buys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from vggrepro.planning.budget import Bought, Budget
from vggrepro.planning.formatting import HOUR, amount, terminal_table
from vggrepro.planning.power import Assumptions, ClaimChance


def chance(share: float | None) -> str:
    """A chance in per cent, if there is one. A share of draws never shows that something is certain or impossible."""
    if share is None:
        return ""
    return "< 1%" if share < 0.01 else "> 99%" if share > 0.99 else f"{share:.0%}"


def chances_table(expected: Sequence[ClaimChance], others: Sequence[ClaimChance]) -> Table:
    """A line for each claim on each quantity, likeliest to be decided first."""
    table = terminal_table("claim", "quantity", "decided", "supported", "trainings a seed", "claim in words")
    for each in sorted(expected, key=lambda each: -(each.decided or 0.0)):
        claim = each.claim
        table.add_row(
            claim.id,
            claim.quantity,
            chance(each.decided),
            chance(each.supported),
            str(len(each.runs)),
            claim.claim,
        )
    for each in others:
        shown = chance(each.decided)
        table.add_row(each.claim.id, each.claim.quantity, shown, shown, "", Text(f"({each.reason})", style="dim"))
    table.columns[1].justify = "left"
    return _filling(table)


def claims_lines(expected: Sequence[ClaimChance], assumed: Assumptions) -> Iterator[str]:
    """What the chances come to, and what they take for granted."""
    decided = sum(each.decided or 0.0 for each in expected)
    yield (
        f"If the paper's printed gaps are the truth, {decided:.0f} of these {len(expected)} claims are decided on average, "
        f"with {_seeds(assumed.seeds)}"
    )
    yield from _granted(assumed)


def _granted(assumed: Assumptions) -> Iterator[str]:
    measured = [f"in {quantity} by {points:.2f} points" for quantity, points in assumed.training.items()]
    assumption = "as tables/tolerances.yaml says"
    spread = ", ".join([*measured, f"in other quantities {assumption}"]) if measured else assumption
    yield (
        f"taken for granted, from {assumed.source}: {assumed.usual_images:,} images; where 27% are wrong two nets disagree on "
        f"{assumed.between:.0%} of them and two systems of a net on {assumed.within:.0%}; trainings differ {spread}"
    )


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def bought_table(bought: Bought, budget: Budget) -> Table:
    """What is bought, in order."""
    unit = f"{budget.kind} hours"
    table = terminal_table("bought", f"{unit}", f"{unit} in all", "decides more", "trainings that it adds")
    for each in bought.purchases:
        cost, total = (amount(seconds / HOUR) for seconds in (each.seconds, each.total))
        table.add_row(each.what, cost, total, f"{each.adds:.2f}", ", ".join(each.runs))
    return _filling(table)


def _filling(table: Table) -> Table:
    """The table with its last column as text that takes what room the others leave."""
    last = table.columns[-1]
    last.justify, last.no_wrap, last.overflow, last.ratio = "left", False, "fold", 1
    table.expand = True
    return table


def bought_lines(bought: Bought, budget: Budget, assumed: Assumptions, commands: Sequence[str]) -> Iterator[str]:
    """What it comes to, and the commands that make just that."""
    unit = f"{budget.kind} hours"
    if not bought.purchases:
        yield (
            f"{amount(budget.seconds / HOUR)} {unit} decide no claim: the cheapest needs {amount(bought.cheapest / HOUR)}, "
            "and may add nothing with one seed"
        )
        return
    total = bought.purchases[-1].total
    yield (
        f"{amount(total / HOUR)} of {amount(budget.seconds / HOUR)} {unit} buy {_seeds(bought.seeds)} of "
        f"{len(bought.chances)} claims, of which {bought.decided:.1f} are decided on average"
    )
    yield f"tables whose cells they compare: {', '.join(bought.tables)}"
    yield from _granted(assumed)
    yield "the commands that make just these:"
    yield from (f"    {command}" for command in commands)
