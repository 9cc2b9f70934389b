"""The claims that are judged: the paper's, and those of the user's files. No torch."""

from __future__ import annotations

from pathlib import Path

from vggrepro.paper.claims import CLAIMS_FILE, Claim, load_claims
from vggrepro.settings.models import Settings

PAPERS = ""
"""The name of `tables/claims.yaml` among files of claims."""


def claims_by_file(settings: Settings, papers: Path = CLAIMS_FILE) -> dict[str, tuple[Claim, ...]]:
    """The claims of every file by its name in the setting `claims`; first those of `tables/claims.yaml`, named `PAPERS`.

    A user's claims are no sentences of the paper (`ours`). Raises ValueError as `load_claims` does, and for an id that the
    paper or another file has.
    """
    files = {PAPERS: load_claims(settings.table, papers, higher=settings.higher)}
    owners = {claim.id: str(papers.name) for claim in files[PAPERS]}
    for name, file in settings.claims.items():
        claims = load_claims(settings.table, Path(file), higher=settings.higher, named_in=settings.table_numbers())
        for claim in claims:
            if claim.id in owners:
                raise ValueError(
                    f"{file}: claim {claim.id}: id: {owners[claim.id]} has a claim of this name: expected another one"
                )
        owners |= {claim.id: file for claim in claims}
        files[name] = tuple(claim.model_copy(update={"ours": True}) for claim in claims)
    return files
