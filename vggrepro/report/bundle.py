"""The citable bundle: an RO-Crate of settings, catalogue, cells, tables, report, learning curves and digests. No torch.

A crate is a zip (or folder) with the layout of the results folder. `ro-crate-metadata.json` describes in JSON-LD each file,
who made it, from what, and with which code. Weights, images and scores are too large for it; `digests.sha256`, which
`sha256sum --check` reads, holds their digests.

No file of a crate names a path of the machine that made it.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import yaml

from vggrepro.core import provenance
from vggrepro.core.checksums import CHECKSUMS, SUFFIX
from vggrepro.core.files import atomic_file, checked, file_digest, write_text
from vggrepro.core.leftovers import visible_files
from vggrepro.core.paths import ROOT
from vggrepro.core.records import read_released
from vggrepro.report.bundle_check import bundle_problems
from vggrepro.settings.models import Settings
from vggrepro.tables import lineage, render
from vggrepro.tables.lineage import FinishedTraining, StoredResult

if TYPE_CHECKING:
    from rocrate.model.contextentity import ContextEntity

VERSION = "1.2"
"""Of the RO-Crate specification."""

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
"""Process Run Crate: every step is an action with what went in, what came out, and the program."""

RESULT_PATTERNS = (
    "tables/*",
    "claims/*",
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
"""Files of a results folder that go into a crate."""

CHECKOUT_PATTERNS = (
    "CITATION.cff",
    "LICENSE",
    "pyproject.toml",
    "requirements.lock",
    "environment.yml",
    "tables/*.yaml",
    "tables/published/*",
    "workflow/config/*.yaml",
)
"""Files of the checkout that go into a crate, below `vggrepro/`: catalogue, environment, presets."""

MEDIA_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".html": "text/html",
    ".tex": "application/x-tex",
    ".md": "text/markdown",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".toml": "application/toml",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".npz": "application/zip",
}
"""Media types; other files are plain text."""

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
        _CrateDescription(folder, trainings, released, results_by_path, settings).write()
        if problems := bundle_problems(folder):
            raise AssertionError(f"a crate of ours is not whole: {'; '.join(problems)}")
        _zip(folder, out)


def collect_files(settings: Settings, results: Path, folder: Path) -> None:
    """Copy the files of a crate, without paths of this machine in them."""
    hide = _hiding(settings)
    from_results = {file: file.relative_to(results) for file in visible_files(results, *RESULT_PATTERNS)}
    from_checkout = {
        file: Path("vggrepro") / file.relative_to(ROOT) for pattern in CHECKOUT_PATTERNS for file in ROOT.glob(pattern)
    }
    for source, name in {**from_results, **from_checkout}.items():
        if source.is_file() and not source.name.startswith(".") and source.suffix != SUFFIX:
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


class _CrateDescription:
    """The metadata of a crate: its files, and the actions that made them."""

    def __init__(
        self,
        folder: Path,
        trainings: Sequence[FinishedTraining],
        adopted: Sequence[Mapping[str, Any]],
        made: Mapping[str, StoredResult],
        settings: Settings,
    ) -> None:
        from rocrate.rocrate import ROCrate

        self.folder, self.trainings, self.adopted, self.made, self.settings = folder, trainings, adopted, made, settings
        self.crate = ROCrate(version=VERSION)
        self.digests = (folder / "digests.sha256").read_text(encoding="utf-8").splitlines(keepends=True)
        self.cite = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))

    def write(self) -> None:
        """Describe everything, and write the metadata."""
        self._root()
        self._files()
        actions = [
            *map(self._training, self.trainings),
            *map(self._adoption, self.adopted),
            *map(self._result, self.made.values()),
            *self._tables(),
        ]
        self.crate.root_dataset["mentions"] = actions
        self.crate.metadata.write(self.folder)

    def _entity(self, place: str, kind: str, **properties: Any) -> ContextEntity:  # noqa: ANN401
        """An entity that is not a file of the crate; a second call with the same id returns the same entity."""
        from rocrate.model.contextentity import ContextEntity

        given = {key: value for key, value in properties.items() if value not in (None, "", [])}
        return self.crate.add(ContextEntity(self.crate, place, properties={"@type": kind, **given}))

    def _root(self) -> None:
        root, preset = self.crate.root_dataset, self.settings.preset
        about = [*(t.about for t in self.trainings), *self.adopted, *(result.about for result in self.made.values())]
        if about:
            root["datePublished"] = max(each["made"]["at"] for each in about)
        root["name"] = f"Very Deep Convolutional Networks, reproduced: {preset} preset"
        root["description"] = (
            "Every table of the paper reproduced, beside the published numbers: cells, claims, tables, report, settings, "
            "learning curves, and digests of weights and scores. Made by vggrepro."
        )
        license = self.cite["license"]
        root["license"] = self._entity(f"https://spdx.org/licenses/{license}", "CreativeWork", name=license)
        root["author"] = self._authors(self.cite)
        paper = self.cite["references"][0]
        arxiv = next(i["value"] for i in paper["identifiers"]).removeprefix("arXiv:")
        root["citation"] = root["isBasedOn"] = self._entity(
            f"https://arxiv.org/abs/{arxiv}",
            "ScholarlyArticle",
            name=paper["title"],
            author=self._authors(paper),
            datePublished=str(paper["year"]),
        )
        root["conformsTo"] = self._entity(
            PROFILE, "CreativeWork", name="Process Run Crate", version=PROFILE.rsplit("/", 1)[1]
        )

    def _authors(self, work: Mapping[str, Any]) -> list[ContextEntity]:
        """The authors of a work in CITATION.cff's form."""
        authors = []
        for author in work["authors"]:
            person = "family-names" in author
            name = f"{author['given-names']} {author['family-names']}" if person else author["name"]
            place = author.get("orcid") or f"#{name.replace(' ', '-')}"
            authors.append(self._entity(place, "Person" if person else "Organization", name=name))
        return authors

    def _files(self) -> None:
        """Every file, with its size and SHA-256."""
        for file in sorted(path for path in self.folder.rglob("*") if path.is_file()):
            properties = {
                "name": file.name,
                "encodingFormat": MEDIA_TYPES.get(file.suffix, "text/plain"),
                "contentSize": str(file.stat().st_size),
                "sha256": file_digest(file),
            }
            self.crate.add_file(file, file.relative_to(self.folder).as_posix(), properties=properties)

    def _there(self, *patterns: str) -> list[Any]:
        """The crate's files that match some patterns."""
        files = sorted(file for pattern in patterns for file in self.folder.glob(pattern) if file.is_file())
        return [self.crate.get(quote(file.relative_to(self.folder).as_posix())) for file in files]

    def _program(self, commit: str) -> ContextEntity:
        version = self.cite["version"]
        return self._entity(
            f"#vggrepro-{commit}", "SoftwareApplication", name="vggrepro", version=version, softwareVersion=commit
        )

    def _data(self, digest: str, name: str) -> ContextEntity:
        return self._entity(f"#data-{digest}", "Dataset", name=name, identifier=digest)

    def _weights(self, run: str, digest: str) -> ContextEntity:
        return self._entity(f"#weights-{run}", "File", name=f"weights of {run}", sha256=digest)

    def _training(self, training: FinishedTraining) -> ContextEntity:
        about, run = training.about, training.run.name
        data, parent = about["data"], about["parent"]
        used = [self._data(data["train"], f"{data['data set']}, training images")]
        used += [self._data(data["val"], f"{data['data set']}, validation images")]
        used += [self._weights(parent["run"], parent["weights"])] if parent else []
        return self._entity(
            f"#train-{run}",
            "CreateAction",
            name=f"training of {training.run.label}, seed {training.run.seed}",
            object=used,
            result=[self._weights(run, about["weights"]), *self._there(f"runs/{run}/*")],
            instrument=self._program(about["made"]["commit"]),
            startTime=about["attempts"][0]["began"],
            endTime=about["made"]["at"],
        )

    def _given(self, about: Mapping[str, Any]) -> ContextEntity:
        """A file that somebody else made."""
        return self._entity(f"#given-{about['digest']}", "File", name=about["file"], sha256=about["digest"])

    def _adoption(self, about: Mapping[str, Any]) -> ContextEntity:
        """The conversion of a released net, which replaces a training."""
        run = about["run"]
        return self._entity(
            f"#adopt-{run}",
            "CreateAction",
            name=f"{run} from a released net",
            object=[
                self._given(about),
                self._data(about["data"]["val"], f"{about['data']['data set']}, validation images"),
            ],
            result=[self._weights(run, about["weights"]), *self._there(f"runs/{run}/*")],
            instrument=self._program(about["made"]["commit"]),
            endTime=about["made"]["at"],
        )

    def _store(self, path: str) -> ContextEntity:
        """A folder of scores, boxes, features or SVMs; its digest is that of its lines in digests.sha256."""
        lines = [line for line in self.digests if line.split(maxsplit=1)[1].startswith(f"{path}/")]
        whole = hashlib.sha256("".join(lines).encode()).hexdigest()
        return self._entity(f"#{path}", "Dataset", name=path, identifier=whole)

    def _result(self, result: StoredResult) -> ContextEntity:
        about = result.about
        name = about.get("collection") or f"{about['data set']}, validation images"
        used = [self._data(result.data, name)] if result.data else []
        used += [self._given(about)] if "file" in about else []
        features = [self._store(f"features/{part['run']}/{part['name']}") for part in about.get("features", [])]
        weights = [self._weights(run, digest) for run, digest in result.weights.items()]
        return self._entity(
            f"#make-{result.path}",
            "CreateAction",
            name=f"making of {result.path}",
            object=used + (features or weights),
            result=[self._store(result.path), *self._there(f"{result.path}/made.json")],
            instrument=self._program(about["made"]["commit"]),
            endTime=about["made"]["at"],
        )

    def _tables(self) -> list[ContextEntity]:
        """Actions that made the tables from results, and claims, report and export from the tables."""
        program = self._program(provenance.commit())
        actions = []
        for file in sorted((self.folder / "tables").glob("*.json")):
            paths = lineage.results_of_table(self.settings, render.read_table(file))
            actions.append(
                self._entity(
                    f"#table-{file.stem}",
                    "CreateAction",
                    name=f"making of {file.stem}",
                    object=[self._store(path) for path in paths]
                    + self._there(f"vggrepro/tables/published/{file.stem}.csv"),
                    result=self._there(f"tables/{file.stem}.*"),
                    instrument=program,
                )
            )
        steps = {
            "claims": ("judging of all claims", ("tables/*.npz", "tables/table02.json", "vggrepro/tables/claims.yaml")),
            "report": ("report of all tables", ("tables/*", "claims/claims.json", "runs/*/*", "merging/*", "why/*/*")),
            "export": ("tidy data of all cells and claims", ("tables/*.json", "claims/claims.json")),
        }
        for name, (title, used) in steps.items():
            outputs, inputs = self._there(f"{name}/**/*"), self._there(*used)
            actions.append(
                self._entity(f"#{name}", "CreateAction", name=title, object=inputs, result=outputs, instrument=program)
            )
        return actions


def _zip(folder: Path, out: Path) -> None:
    """Write a folder as a zip whose bytes depend on its files alone."""
    with atomic_file(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix())
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
