"""What a folder of results holds, small enough to be compared: a digest of every step's content, and the numbers of all cells.

A digest is of what a step computed (pixels, weights, posteriors), not of files that also say when and where. No torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vggrepro.core.files import check_ending, checked, write_json
from vggrepro.core.leftovers import visible_files
from vggrepro.core.paths import ROOT
from vggrepro.core.records import WEIGHTS_RECORDS, TrainingRecord, typed_record
from vggrepro.core.validation import FrozenModel
from vggrepro.paper.tables import cell_id, published_table
from vggrepro.tables.lineage import StoredResult, stored_results
from vggrepro.tables.render import read_table

REFERENCE = ROOT / "tables" / "reference" / "smoke.json"
"""The digests and numbers of the smoke run on drawn images, kept in the repository."""


class Circumstances(FrozenModel):
    """What a step was computed with. Two steps with the same input differ because one of these does."""

    settings: str
    """Digest of the step's settings."""
    instructions: str = "fastest"
    device: str = "CPU"
    processor: str
    versions: dict[str, str]
    commit: str


class StepDigest(FrozenModel):
    """A training, an evaluation, features, SVMs, or a set of images."""

    digest: str
    after: tuple[str, ...] = ()
    """The steps that it was made from, by name."""
    circumstances: int | None = None
    """Number in `Digests.circumstances`; None for images."""


class CellValue(FrozenModel):
    """The number in a cell."""

    value: float
    after: tuple[str, ...]
    """The steps that it was made from, of the first seed."""


class ResultDigests(FrozenModel):
    """What a folder of results holds."""

    circumstances: tuple[Circumstances, ...]
    """Each once."""
    steps: dict[str, StepDigest]
    """By the path below the folder of results: `data/train`, `runs/A_256_s0`, `scores/A_256_s0/dense/256`."""
    cells: dict[str, CellValue]
    """By the cell's id: `table03-1-2`."""

    def of_step(self, name: str) -> Circumstances | None:
        """What a step was computed with; None for images."""
        number = self.steps[name].circumstances
        return None if number is None else self.circumstances[number]


def digests_of(results: Path) -> ResultDigests:
    """The digests of a folder such as `results/smoke`; a ValueError where it holds no results, or damaged ones."""
    if not list(results.glob("runs/*/*.json")):
        raise ValueError(
            f"{results}: no results: expected a folder with runs, scores and tables, such as results/smoke"
        )
    distinct: list[Circumstances] = []
    steps: dict[str, StepDigest] = {}
    for name, digest, after, about in (*_trainings(results), *_results(results)):
        circumstances, number = _circumstances(about), None
        if circumstances:
            if circumstances not in distinct:
                distinct.append(circumstances)
            number = distinct.index(circumstances)
        steps[name] = StepDigest(digest=digest, after=after, circumstances=number)
    return ResultDigests(circumstances=tuple(distinct), steps=dict(sorted(steps.items())), cells=_cells(results))


def write_reference(digests: ResultDigests, path: Path) -> None:
    """Write digests as a file that `read_digests` reads."""
    check_ending(path, ".json")
    write_json(path, digests.model_dump(mode="json"))


def read_digests(path: Path) -> ResultDigests:
    """The digests of a folder of results, or those that `write_reference` wrote; a ValueError for anything else."""
    if path.is_dir():
        return digests_of(path)
    if not path.exists():
        raise ValueError(
            f"{path}: there is nothing: expected a folder of results, or a file that compare --write wrote"
        )
    try:
        return ResultDigests.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]
        raise ValueError(
            f"{path}: expected a folder of results, or a file that compare --write wrote; "
            f"{'.'.join(map(str, problem['loc'])) or 'it'}: {problem['msg']}"
        ) from None


_Found = tuple[str, str, tuple[str, ...], dict[str, Any]]
"""A step: its name, its digest, what it was made from, its record."""


def _trainings(results: Path) -> Iterator[_Found]:
    for file in visible_files(results, "runs/*/*.json"):
        about = typed_record(file, ("run", "made"), kind=WEIGHTS_RECORDS.get(file.name, TrainingRecord))
        after = []
        if isinstance(data := about.get("data"), dict):
            for split in ("train", "val"):
                yield f"data/{split}", data[split], (), {}
                after.append(f"data/{split}")
        if about.get("parent"):
            after.append(f"runs/{about['parent']['run']}")
        yield f"runs/{about['run']}", weights_digest(file.with_name("weights.safetensors")), tuple(after), about


def _results(results: Path) -> Iterator[_Found]:
    for path, result in stored_results(results).items():
        about, kind = result.about, path.split("/")[0]
        images = f"data/{about.get('collection', 'val')}"
        if "data" in about:
            yield images, about["data"], (), {}
        after = [images] if kind != "transfer" else []
        after += [f"features/{part['run']}/{part['name']}" for part in about.get("features", ())]
        if kind != "transfer":
            after += [f"runs/{run}" for run in result.runs]
        if kind == "boxes" and about["protocol"] == "dense":
            seed = result.runs[0].rpartition("_s")[2]
            labels = typed_record(results / "answers" / f"s{seed}" / "made.json", ("system",))
            after += [f"scores/{name}" for name in labels["system"]]
        yield path, _arrays_digest(results / path), tuple(after), _with_device(result)


def _with_device(result: StoredResult) -> dict[str, Any]:
    # SVMs have no device
    return {"device": "CPU"} | result.about


def _circumstances(about: dict[str, Any]) -> Circumstances | None:
    if "made" not in about:
        return None
    made = about["made"]
    settings = json.dumps(about.get("settings", {}), sort_keys=True)
    return Circumstances(
        settings=hashlib.sha256(settings.encode()).hexdigest()[:16],
        instructions=made.get("instructions", "fastest"),
        device=about.get("device", "CPU"),
        processor=made["processor"],
        versions=made["versions"],
        commit=made["commit"],
    )


def weights_digest(file: Path) -> str:
    """SHA-256 of the names, shapes and numbers of a safetensors file, without what it says about them."""
    with checked(file, "train again"), file.open("rb") as opened:
        header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
        tensors = json.dumps({name: header[name] for name in sorted(header) if name != "__metadata__"}, sort_keys=True)
        hasher = hashlib.sha256(tensors.encode())
        while block := opened.read(2**20):
            hasher.update(block)
    return hasher.hexdigest()


def _arrays_digest(folder: Path) -> str:
    """SHA-256 of all arrays and lists of ids of a result."""
    hasher = hashlib.sha256()
    for file in visible_files(folder, "**/*.npy", "**/ids.txt"):
        hasher.update(f"{file.relative_to(folder).as_posix()}\n".encode())
        with checked(file):
            hasher.update(hashlib.sha256(file.read_bytes()).digest())
    return hasher.hexdigest()


def _cells(results: Path) -> dict[str, CellValue]:
    cells = {}
    for file in visible_files(results, "tables/*.json"):
        table = read_table(file)
        folder = published_table(table.number).kind.results
        for r, row in enumerate(table.rows):
            for c, cell in enumerate(row.cells):
                if cell.value is not None and cell.sources:
                    after = tuple(f"{folder}/{name}" for name in cell.sources)
                    cells[cell_id(table.name, r, c)] = CellValue(value=cell.value, after=after)
    return cells
