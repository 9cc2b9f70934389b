"""The description of a citable bundle in JSON-LD: a Workflow Run RO-Crate of the workflow, its runs and its files. No torch.

The Snakefile is the main entity; each training, evaluation, table and report is an action with what went in, what came out,
the program, who ran it, and when it ended.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import yaml

from vggrepro.core import provenance
from vggrepro.core.files import file_digest
from vggrepro.core.paths import ROOT
from vggrepro.settings.models import Settings
from vggrepro.tables import lineage, render
from vggrepro.tables.lineage import FinishedTraining, StoredResult

if TYPE_CHECKING:
    from rocrate.model.contextentity import ContextEntity

RO_CRATE_VERSION = "1.1"
"""Of the RO-Crate specification: that which the profiles extend."""

TERMS = "https://w3id.org/ro/terms/workflow-run/context"
"""Terms of the profiles that the specification lacks: `sha256`."""

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}

WORKFLOW = "vggrepro/Snakefile"
"""The main entity."""

WEIGHTS_MEDIA_TYPE = "application/octet-stream"
"""The media type of weights, whose own has no name."""

CRATE_PARAMETERS = {
    "settings": ("input", "settings.json"),
    "cells": ("output", "export/cells.csv"),
    "claims": ("output", "export/claims.csv"),
    "report": ("output", "report/report.html"),
}
"""What the workflow takes and gives: by name, which of the two, and the file of this run."""

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


class CrateDescription:
    """The metadata of a crate: its files, and the actions that made them."""

    def __init__(
        self,
        folder: Path,
        results: Path,
        trainings: Sequence[FinishedTraining],
        adopted: Sequence[Mapping[str, Any]],
        made: Mapping[str, StoredResult],
        settings: Settings,
    ) -> None:
        from rocrate.rocrate import ROCrate

        self.folder, self.results, self.settings = folder, results, settings
        self.trainings, self.adopted, self.made = trainings, adopted, made
        self.crate = ROCrate(version=RO_CRATE_VERSION)
        self.crate.metadata.extra_contexts.append(TERMS)
        self.digests = (folder / "digests.sha256").read_text(encoding="utf-8").splitlines(keepends=True)
        self.cite = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))

    def write(self) -> None:
        """Describe everything, and write the metadata."""
        self._files()
        self._root()
        actions = [
            self._whole_run(),
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

        given = {key: _single(value) for key, value in properties.items() if value not in (None, "", [])}
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
        root["author"] = _single(self._authors(self.cite))
        paper = self.cite["references"][0]
        arxiv = next(i["value"] for i in paper["identifiers"]).removeprefix("arXiv:")
        root["citation"] = root["isBasedOn"] = self._entity(
            f"https://arxiv.org/abs/{arxiv}",
            "ScholarlyArticle",
            name=paper["title"],
            author=_single(self._authors(paper)),
            datePublished=str(paper["year"]),
        )
        profiles = [
            self._entity(place, "CreativeWork", name=name, version=place.rsplit("/", 1)[1])
            for place, name in PROFILES.items()
        ]
        root["conformsTo"] = profiles
        self.crate.metadata["conformsTo"] = [{"@id": f"https://w3id.org/ro/crate/{RO_CRATE_VERSION}"}, profiles[-1]]
        root["mainEntity"] = self.crate.get(WORKFLOW)
        self.crate.get("README.md")["about"] = root

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
            name = file.relative_to(self.folder).as_posix()
            if name == WORKFLOW:
                properties |= self._workflow_properties()
            self.crate.add_file(file, name, properties=properties)
        for name, (_, example) in CRATE_PARAMETERS.items():
            if file := self.crate.get(example):
                file["exampleOfWork"] = {"@id": f"#parameter-{name}"}

    def _workflow_properties(self) -> dict[str, Any]:
        """What is said of the Snakefile: that it is the workflow, in which language, and what goes in and comes out."""
        language = self._entity(
            "https://w3id.org/workflowhub/workflow-ro-crate#snakemake",
            "ComputerLanguage",
            name="Snakemake",
            identifier="https://snakemake.github.io",
            url="https://snakemake.github.io",
            version=importlib.metadata.version("snakemake"),
        )
        there = {name: kind for name, (kind, example) in CRATE_PARAMETERS.items() if (self.folder / example).exists()}
        parameters = {
            name: self._entity(
                f"#parameter-{name}",
                "FormalParameter",
                name=name,
                additionalType="File",
                workExample={"@id": CRATE_PARAMETERS[name][1]},
                conformsTo={"@id": "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"},
            )
            for name in there
        }
        return {
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
            "name": self.cite["title"],
            "version": self.cite["version"],
            "url": self._software_url(),
            "programmingLanguage": language,
            "conformsTo": {"@id": "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"},
            "input": _single([parameters[name] for name, kind in there.items() if kind == "input"]),
            "output": _single([parameters[name] for name, kind in there.items() if kind == "output"]),
        }

    def _software_url(self) -> str:
        """Where the software is published; where CITATION.cff does not say, the file that says how to cite it."""
        return str(self.cite.get("repository-code") or self.cite.get("url") or "vggrepro/CITATION.cff")

    def _there(self, *patterns: str) -> list[Any]:
        """The crate's files that match some patterns."""
        files = sorted(file for pattern in patterns for file in self.folder.glob(pattern) if file.is_file())
        return [self.crate.get(quote(file.relative_to(self.folder).as_posix())) for file in files]

    def _program(self, commit: str) -> ContextEntity:
        version = f"{self.cite['version']}, commit {commit}"
        url = self._software_url()
        return self._entity(
            f"#vggrepro-{commit}", "SoftwareApplication", name="vggrepro", url=url, softwareVersion=version
        )

    def _action(self, place: str, name: str, **properties: Any) -> ContextEntity:  # noqa: ANN401
        """Something that was done, by whoever ran the workflow: results name nobody."""
        user = self._entity("#user", "Person", name="the user who ran the workflow; results record no names")
        done = "http://schema.org/CompletedActionStatus"
        given = {"agent": user, "actionStatus": done, "description": name} | properties
        return self._entity(place, "CreateAction", name=name, **given)

    def _ended(self, *names: str) -> str:
        """When the last of some files of the results was written: tables, claims and report record no time of their own."""
        times = [file.stat().st_mtime for name in names if (file := self.results / name).exists()]
        return datetime.fromtimestamp(max(times), UTC).isoformat(timespec="seconds") if times else ""

    def _whole_run(self) -> ContextEntity:
        """The run of the workflow: settings in, tables, claims, report and data out."""
        about = [*(t.about for t in self.trainings), *self.adopted, *(result.about for result in self.made.values())]
        began = [t.about["attempts"][0]["began"] for t in self.trainings] or [each["made"]["at"] for each in about]
        data = [self._data(t.about["data"]["train"], _training_images(t)) for t in self.trainings]
        return self._action(
            "#run",
            f"run of the workflow, {self.settings.preset} preset",
            object=[*self._there("settings.json"), *{entity.id: entity for entity in data}.values()],
            result=self._there("tables/*", "claims/*", "report/*.*", "export/*"),
            instrument=self.crate.get(WORKFLOW),
            startTime=min(began, default=""),
            endTime=self._ended("report/report.html", "export/cells.csv") or max(each["made"]["at"] for each in about),
        )

    def _data(self, digest: str, name: str) -> ContextEntity:
        return self._entity(f"#data-{digest}", "Dataset", name=name, identifier=digest)

    def _weights(self, run: str, digest: str) -> ContextEntity:
        return self._entity(
            f"#weights-{run}",
            "File",
            name=f"weights of {run}",
            sha256=digest,
            encodingFormat=WEIGHTS_MEDIA_TYPE,
        )

    def _training(self, training: FinishedTraining) -> ContextEntity:
        about, run = training.about, training.run.name
        data, parent = about["data"], about["parent"]
        used = [self._data(data["train"], _training_images(training))]
        used += [self._data(data["val"], f"{data['data set']}, validation images")]
        used += [self._weights(parent["run"], parent["weights"])] if parent else []
        return self._action(
            f"#train-{run}",
            f"training of {training.run.label}, seed {training.run.seed}",
            object=used,
            result=[self._weights(run, about["weights"]), *self._there(f"runs/{run}/*")],
            instrument=self._program(about["made"]["commit"]),
            startTime=about["attempts"][0]["began"],
            endTime=about["made"]["at"],
        )

    def _given(self, about: Mapping[str, Any]) -> ContextEntity:
        """A file that somebody else made."""
        return self._entity(
            f"#given-{about['digest']}",
            "File",
            name=about["file"],
            sha256=about["digest"],
            encodingFormat=WEIGHTS_MEDIA_TYPE,
        )

    def _adoption(self, about: Mapping[str, Any]) -> ContextEntity:
        """The conversion of a released net, which replaces a training."""
        run = about["run"]
        return self._action(
            f"#adopt-{run}",
            f"{run} from a released net",
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
        return self._action(
            f"#make-{result.path}",
            f"making of {result.path}",
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
            # checksums lie with the results, not with their copies in the crate
            paths = lineage.results_of_table(self.settings, render.read_table(self.results / "tables" / file.name))
            actions.append(
                self._action(
                    f"#table-{file.stem}",
                    f"making of {file.stem}",
                    object=[self._store(path) for path in paths]
                    + self._there(f"vggrepro/tables/published/{file.stem}.csv"),
                    result=self._there(f"tables/{file.stem}.*"),
                    instrument=program,
                    endTime=self._ended(f"tables/{file.name}"),
                )
            )
        steps = {
            "claims": ("judging of all claims", ("tables/*.npz", "tables/table02.json", "vggrepro/tables/claims.yaml")),
            "report": ("report of all tables", ("tables/*", "claims/claims.json", "runs/*/*", "merging/*", "why/*/*")),
            "export": ("tidy data of all cells and claims", ("tables/*.json", "claims/claims.json")),
        }
        for name, (title, used) in steps.items():
            outputs, inputs = self._there(f"{name}/**/*"), self._there(*used)
            ended = self._ended(*(file.relative_to(self.folder).as_posix() for file in self.folder.glob(f"{name}/*.*")))
            given = {"object": inputs, "result": outputs, "instrument": program, "endTime": ended}
            actions.append(self._action(f"#{name}", title, **given))
        return actions


def _training_images(training: FinishedTraining) -> str:
    return f"{training.about['data']['data set']}, training images"


def _single(value: Any) -> Any:  # noqa: ANN401
    """What a list of one holds, as RO-Crates write it; anything else as it is."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value
