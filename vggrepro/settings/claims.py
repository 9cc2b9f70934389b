"""The claims that are judged: the paper's, those of the user's files, and both again on every reference. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vggrepro.paper.claims import CLAIMS_FILE, Claim, load_claims
from vggrepro.paper.references import on_reference
from vggrepro.paper.runs import file_name
from vggrepro.settings.models import Settings


@dataclass(frozen=True)
class ClaimFamily:
    """Claims that Holm's correction is made over."""

    claims: tuple[Claim, ...]
    file: str = ""
    """The name of the user's file that they are from; empty for `tables/claims.yaml`."""
    reference: str = ""
    """What they are judged on; empty for the validation images and their own labels."""


def claim_families(settings: Settings, papers: Path = CLAIMS_FILE) -> tuple[ClaimFamily, ...]:
    """The paper's claims, those that are ours, those of each file of the user's; then the same on every reference.

    Raises ValueError as `load_claims` does, and for an id that the paper or another file has.
    """
    listed = load_claims(settings.table, papers, higher=settings.higher)
    families = [ClaimFamily(tuple(claim for claim in listed if claim.ours is ours)) for ours in (False, True)]
    families += _own_families(settings, {claim.id: papers.name for claim in listed})
    again = [
        ClaimFamily(tuple(_judged_again(family.claims, reference, settings)), family.file, reference)
        for reference in settings.references
        for family in families
    ]
    return (*families, *(family for family in again if family.claims))


def _own_families(settings: Settings, owners: dict[str, str]) -> Iterator[ClaimFamily]:
    """The claims of the user's files, which are no sentences of the paper; `owners` has the file of every id that is taken."""
    for name, file in settings.claims.items():
        claims = load_claims(settings.table, Path(file), higher=settings.higher, named_in=settings.table_numbers())
        for claim in claims:
            if claim.id in owners:
                raise ValueError(
                    f"{file}: claim {claim.id}: id: {owners[claim.id]} has a claim of this name: expected another one"
                )
        owners = owners | {claim.id: file for claim in claims}
        yield ClaimFamily(tuple(claim.model_copy(update={"ours": True}) for claim in claims), file=name)


def _judged_again(claims: Sequence[Claim], reference: str, settings: Settings) -> Iterator[Claim]:
    """The claims whose cells are all measured on a reference, about these: the same sizes and margins, other images."""
    for claim in claims:
        quantity = on_reference(claim.quantity, reference)
        places = [place for pair in claim.compared() for place in pair] if claim.quantity else []
        if places and all(
            quantity in settings.table(place.table).quantities
            and not place.of
            and not place.is_absent(settings.table)
            and place.row(settings.table).ours
            for place in places
        ):
            yield claim.model_copy(
                update={"id": f"{claim.id}-{file_name(reference)}", "quantity": quantity, "same_as": claim.id}
            )
