"""The claims that are judged: the paper's, those of the user's files, and both again on every reference. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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

    Raises ValueError as `load_claims` does, and for two claims of one id.
    """
    listed = load_claims(settings.table, papers, higher=settings.higher)
    families = [ClaimFamily(tuple(claim for claim in listed if claim.ours is ours)) for ours in (False, True)]
    families += [_own_family(name, Path(file), settings) for name, file in settings.claims.items()]
    again = [
        ClaimFamily(tuple(_judged_again(family.claims, reference, settings)), family.file, reference)
        for reference in settings.references
        for family in families
    ]
    families += [family for family in again if family.claims]
    _check_ids(families, settings.claims | {"": papers.name})
    return tuple(families)


def _own_family(name: str, file: Path, settings: Settings) -> ClaimFamily:
    """The claims of one of the user's files, which are no sentences of the paper."""
    claims = load_claims(settings.table, file, higher=settings.higher, named_in=settings.table_numbers())
    return ClaimFamily(tuple(claim.model_copy(update={"ours": True}) for claim in claims), file=name)


def _check_ids(families: Iterable[ClaimFamily], files: Mapping[str, str]) -> None:
    """A ValueError for two claims of one id; a claim that is judged again has an id, too."""
    owners: dict[str, str] = {}
    for family in families:
        for claim in family.claims:
            owner = f"{claim.same_as} on {family.reference}" if family.reference else files[family.file]
            if claim.id in owners:
                raise ValueError(
                    f"{owner}: claim {claim.id}: id: {owners[claim.id]} has a claim of this name: expected another one"
                )
            owners[claim.id] = owner


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
