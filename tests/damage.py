"""What a flipped byte does to each kind of file in a folder of results: who reads it, and what the reader says."""

from __future__ import annotations

import fnmatch
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import THOROUGH
from vggrepro.core.checksums import CHECKSUMS, listed_files
from vggrepro.core.plan_record import read_plan
from vggrepro.data.collections import open_collection
from vggrepro.data.store import Store
from vggrepro.diagnosis.decomposition import read_decomposition
from vggrepro.diagnosis.evidence import read_evidence
from vggrepro.diagnosis.flips import read_flips
from vggrepro.judging.ledger import read_ledger
from vggrepro.localisation.sensitivity import read_sensitivity
from vggrepro.localisation.stores import read_boxes
from vggrepro.localisation.top5_labels import read_top5_labels
from vggrepro.nets.weights import load_weights
from vggrepro.paper.tasks import TASKS
from vggrepro.report.bundle import checked_digest, collect_files
from vggrepro.report.figures.drawing import read_picture
from vggrepro.report.whatif_section import whatif_section
from vggrepro.scores.outcomes import read_outcomes
from vggrepro.scores.stores import read_scores_or_labels
from vggrepro.settings.loading import load_settings
from vggrepro.tables.lineage import read_training
from vggrepro.tables.render import read_table
from vggrepro.training.checkpoints import read_checkpoint
from vggrepro.transfer.descriptors import read_features
from vggrepro.transfer.results import read_svm_result
from vggrepro.transfer.splits import read_split

Reader = Callable[[Path, Path], Any]
"""Reads what a step reads of a file, given the folder of results and the file; returns all that it believes."""


def _store(results: Path, file: Path) -> Any:
    store = Store(file.parent)
    return store.about, store.ids, store.index, store.truth, [store.data(i) for i in range(len(store))]


def _drawn(results: Path, file: Path) -> Any:
    root = results.joinpath(*file.relative_to(results).parts[:3])
    names = [name for task in TASKS.values() if task.data == root.name for name in task.collections]
    collections = [open_collection(name, root) for name in names]
    return [(c.ids, c.classes, c.labels, [c.image(i) for i in range(len(c))]) for c in collections]


def _answers(results: Path, file: Path) -> Any:
    return read_top5_labels(file.parent, Store(results / "data/val"))


def _features(results: Path, file: Path) -> Any:
    name = file.parent.name
    task = next(task for task in TASKS.values() if name in task.collections)
    digest = open_collection(name, results / "data/drawn" / task.data).digest
    return read_features(file.parent, name, digest, task.scales)


def _split(results: Path, file: Path) -> Any:
    name = file.parent.name
    return read_split(file, open_collection(name, results / "data/drawn" / name))


def _svms(results: Path, file: Path) -> Any:
    folder = next(folder for folder in file.parents if (folder / "made.json").exists())
    read_svm_result(folder)
    return checked_digest(file)  # of what only `export` reads, such as ids


def _bundled(results: Path, file: Path) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        collect_files(load_settings({"smoke": True}), results, Path(folder))
        return {path.relative_to(folder): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def _evaluation(read: Callable[[Path], Any]) -> Reader:
    return lambda results, file: (vars(read(file.parent)), checked_digest(file))


READERS: dict[str, Reader] = {
    "data/drawn/*": _drawn,
    "data/*": _store,
    "runs/*/weights.safetensors": lambda results, file: vars(load_weights(file)),
    "runs/*/metrics.csv": lambda results, file: vars(read_training(file.with_name("run.json"))),
    "runs/*/run.json": lambda results, file: vars(read_training(file)),
    "state/*/[0-9]*/*": lambda results, file: read_checkpoint(file.parent),
    "scores/*": _evaluation(read_scores_or_labels),
    "boxes/*": _evaluation(read_boxes),
    "answers/*": _answers,
    "features/*": _features,
    "splits/*": _split,
    "transfer/*": _svms,
    "merging/*.png": lambda results, file: read_picture(file),
    "merging/*": lambda results, file: read_sensitivity(file.parent),
    "why/*/why.json": lambda results, file: read_decomposition(file.parent),
    "flips/*.png": lambda results, file: read_picture(file),
    "flips/*": lambda results, file: read_flips(file.parent),
    "whatif/*": lambda results, file: whatif_section(file),
    "tables/*.json": lambda results, file: vars(read_table(file)),
    "tables/*.npz": lambda results, file: vars(read_outcomes(file)),
    "claims/*.json": lambda results, file: vars(read_ledger(file)),
    "plan/plan.json": lambda results, file: read_plan(results),
    "evidence/evidence.json": lambda results, file: read_evidence(file.parent),
    **dict.fromkeys(("why/*", "tables/*", "claims/*", "report/*", "export/*.[cjp]*", "evidence/*"), _bundled),
}
"""Who reads the files of a folder of results, by their paths; the first that fits."""

UNREAD = {
    "logs/*": "of Snakemake's, for people",
    "benchmarks/*": "of Snakemake's, for people",
    "recipes/*": "a job that is made again for nothing looks first whether its result is there, and keeps it",
    "state/*/lock": "empty",
    "state/*/finished": "empty",
    "state/*/metrics.csv": "for people who watch a training, and `status`",
    "state/*/running.json": "for `status`, which says where it cannot be read; the next step writes it again",
    "plan/snakemake.lock": "empty",
    "export/crate.zip": "the end of all steps; it holds the digest of each of its files, and `check` compares them",
    "*/.snakemake_timestamp": "of Snakemake's, empty",
}
"""Files that no step reads, and why damage to them does no harm."""


@dataclass(frozen=True)
class Outcome:
    """What a change of a file does."""

    kind: str
    change: str
    outcome: str
    """`detected`, `harmless` or `silent`."""
    message: str


def kinds_of(results: Path) -> dict[str, Path]:
    """A file of every kind below a folder of results. A kind is a path without what counts or names runs and classes."""
    kinds: dict[str, Path] = {}
    for file in sorted(path for path in results.rglob("*") if path.is_file()):
        parts = file.relative_to(results).parts
        folders = parts[: 2 if parts[0] == "data" else 1]
        if folders[0] in ("logs", "benchmarks", "recipes"):
            kinds.setdefault(f"{folders[0]}/*", file)
            continue
        of_one_kind = parts[:2] == ("data", "drawn") or (parts[0] == "report" and file.suffix == ".pdf")
        name = re.sub(r"[0-9]+", "N", f"*{file.suffix}" if of_one_kind else file.name)
        kinds.setdefault("/".join((*folders, name)), file)
    return kinds


def reader_of(results: Path, file: Path) -> Reader | str:
    """Who reads a file, or why nobody does; an AssertionError for a kind of file that is not declared here."""
    if file.suffix == Path(CHECKSUMS).suffix:
        listed = next(path for path in listed_files(file) if path.suffix != file.suffix)
        return lambda results, _: reader_of(results, listed)(results, listed)  # type: ignore[operator]
    name = file.relative_to(results).as_posix()
    for pattern, reader in {**UNREAD, **READERS}.items():
        if fnmatch.fnmatch(name, pattern):
            return reader
    raise AssertionError(f"{name}: a kind of file whose reader is not declared: add it to READERS or UNREAD")


def changes(data: bytes, *, one: bool = False) -> Iterator[tuple[str, bytes]]:
    """A flip and a cut, or `one` of the two; in all tests two flips and a cut."""
    for share in (0.3, 0.8) if THOROUGH else (0.3,):
        place = int(share * len(data))
        yield f"flip at {share:.0%}", data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    if THOROUGH or not one:
        yield "cut in half", data[: len(data) // 2]


def outcomes(results: Path, kind: str, file: Path) -> Iterator[Outcome]:
    """What flips and a cut of a file do; it is as before afterwards."""
    reader, data = reader_of(results, file), file.read_bytes()
    if isinstance(reader, str) or not data:
        yield Outcome(kind, "any", "harmless", reader if isinstance(reader, str) else "empty")
        return
    # the whole bundle is read for each change of what goes into it
    for change, damaged in changes(data, one=reader is _bundled):
        file.write_bytes(damaged)
        try:
            read = reader(results, file)
        except ValueError as error:
            named = any(part in str(error) for part in (file.name, str(file.parent)))
            yield Outcome(kind, change, "detected" if named else "silent", str(error))
            continue
        finally:
            file.write_bytes(data)
        same = equal(read, reader(results, file))
        yield Outcome(kind, change, "harmless" if same else "silent", "what is read is the same" if same else "")


def equal(a: Any, b: Any) -> bool:
    """Whether two nested values are equal, arrays by their bytes."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    if hasattr(a, "numpy"):
        return equal(a.numpy(), b.numpy())
    return bool(a == b)
