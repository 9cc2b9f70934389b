"""The citable bundle: an RO-Crate of settings, catalogue, cells, tables, report, learning curves and digests. No torch.

A crate is a zip (or folder) with the layout of the results folder. `ro-crate-metadata.json` describes in JSON-LD each file,
who made it, from what, and with which code. Weights, images and scores are too large for it; `digests.sha256`, which
`sha256sum --check` reads, holds their digests.

No file of a crate names a path of the machine that made it.
"""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from vggrepro.core import provenance
from vggrepro.core.checksums import CHECKSUMS, CHECKSUMS_SUFFIX
from vggrepro.core.files import atomic_file, checked, file_digest, write_text
from vggrepro.core.leftovers import visible_files
from vggrepro.core.paths import ROOT
from vggrepro.core.records import read_released
from vggrepro.report.bundle_check import bundle_problems
from vggrepro.report.crate import CrateDescription
from vggrepro.settings.models import Settings
from vggrepro.tables import lineage, render
from vggrepro.tables.lineage import StoredResult

RESULT_PATTERNS = (
    "claims/*",
    "evidence/**/*.js*",
    "report/**/*",
    "export/*.csv",
    "export/*.json",
    "export/*.parquet",
    "merging/*.csv",
    "runs/*/run.json",
    "runs/*/metrics.csv",
    "runs/*/adopted.json",
    *(f"{kind}/**/made.json" for kind in lineage.RESULT_FOLDERS),
    "splits/**/*.csv",
    "why/*/*.json",
    "why/*/*.csv",
    "merge/packs.json",
)
"""Files of a results folder that go into a crate, besides the tables."""

CHECKOUT_PATTERNS = (
    "Snakefile",
    "CITATION.cff",
    "LICENSE",
    "pyproject.toml",
    "requirements.lock",
    "environment.yml",
    "tables/*.yaml",
    "tables/published/*",
    "workflow/config/*.yaml",
    "workflow/rules/*.smk",
)
"""Files of the checkout that go into a crate, below `vggrepro/`: workflow, catalogue, environment, presets."""

BINARY = {".parquet", ".pdf", ".png", ".npz"}


def write_bundle(settings: Settings, results: Path, out: Path, *, workers: int = 1) -> None:
    """Write the crate of a results folder such as `results/smoke` to the zip `out`.

    The same results give the same bytes. Raises ValueError if scores were computed with other weights than a run has now.
    """
    trainings = [lineage.read_training(path) for path in visible_files(results, "runs/*/run.json")]
    results_by_path = lineage.stored_results(results)
    for path, run in lineage.stale_results(trainings, results_by_path).items():
        raise ValueError(
            f"{results / path} was made with other weights than {run} has now: delete it and make it again"
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        collect_files(settings, results, folder)
        released = [read_released(path) for path in visible_files(results, "runs/*/adopted.json")]
        weights = {about["run"]: about["weights"] for about in [*(t.about for t in trainings), *released]}
        write_text(folder / "digests.sha256", _digests(results, weights, results_by_path, workers))
        readme = {"preset": settings.preset, "code": provenance.commit()}
        write_text(folder / "README.md", render.render_template("crate.md.j2", readme))
        CrateDescription(folder, results, trainings, released, results_by_path, settings).write()
        if problems := bundle_problems(folder):
            raise AssertionError(f"a crate of ours is not whole: {'; '.join(problems)}")
        _zip(folder, out)


def collect_files(settings: Settings, results: Path, folder: Path) -> None:
    """Copy the files of a crate, without paths of this machine in them."""
    hide = _hiding(settings)
    # a table that was made with other settings, such as one of the user's own, is not of this run
    tables = (f"tables/{settings.table(number).name}.*" for number in settings.table_numbers())
    from_results = {file: file.relative_to(results) for file in visible_files(results, *tables, *RESULT_PATTERNS)}
    from_checkout = {
        file: Path("vggrepro") / file.relative_to(ROOT) for pattern in CHECKOUT_PATTERNS for file in ROOT.glob(pattern)
    }
    for source, name in {**from_results, **from_checkout}.items():
        if source.is_file() and not source.name.startswith(".") and source.suffix != CHECKSUMS_SUFFIX:
            with checked(source) if source in from_results else nullcontext():
                content = source.read_bytes()
            # text is read as bytes, so that newlines stay as they are
            hidden = content if source.suffix in BINARY else hide(content.decode("utf-8")).encode("utf-8")
            _put(folder / name, hidden)
    _put(folder / "settings.json", hide(settings.model_dump_json(indent=1) + "\n").encode("utf-8"))
    _put(folder / "versions.json", (json.dumps(provenance.versions(), indent=1) + "\n").encode("utf-8"))


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _hiding(settings: Settings) -> Callable[[str], str]:
    """A function that removes paths of this machine from a text; a data set's path becomes its last part."""
    named_paths = {
        text: Path(text).name for text in _strings(settings.model_dump(mode="json")) if text.startswith(("/", "~"))
    }
    places = {**named_paths, str(ROOT): ".", str(Path.cwd()): ".", str(Path.home()): "~"}
    longest = sorted((place.rstrip("/") for place in places if place.rstrip("/")), key=len, reverse=True)
    pattern = re.compile(rf"(?<![\w.~-])(?:{'|'.join(map(re.escape, longest))})(?![\w.-])")
    named = {place.rstrip("/"): name for place, name in places.items()}
    return lambda text: pattern.sub(lambda match: named[match[0]], text)


def _strings(value: Any) -> Iterator[str]:  # noqa: ANN401
    """All strings in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _digests(
    results: Path, weights: Mapping[str, str], results_by_path: Mapping[str, StoredResult], workers: int
) -> str:
    """The SHA-256 of every file of weights, scores, boxes and features, as lines for `sha256sum --check`.

    Of weights that lie elsewhere by now, what the run's record says. Raises ValueError for a damaged file.
    """
    recorded = {results / "runs" / run / "weights.safetensors": digest for run, digest in weights.items()}
    files = [file for path in results_by_path for file in visible_files(results / path, "**/*")]
    files = [file for file in recorded if file.exists()] + [file for file in files if file.name != CHECKSUMS]
    with ThreadPoolExecutor(workers) as pool:
        digests = recorded | dict(zip(files, pool.map(checked_digest, files), strict=True))
    return "".join(f"{digest}  {file.relative_to(results).as_posix()}\n" for file, digest in digests.items())


def checked_digest(file: Path) -> str:
    """SHA-256 of a file of ours; a ValueError where it is damaged."""
    with checked(file):
        return file_digest(file)


def _zip(folder: Path, out: Path) -> None:
    """Write a folder as a zip whose bytes depend on its files alone."""
    with atomic_file(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix())
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
