"""What trainings and evaluations did, by their own records, against the settings and against the paper. No torch.

Three values of every rule of `tables/protocol.yaml` are compared: the measured one, the one that the settings declare, and the
paper's. A record that is not as declared is refused, and no table shows a number of it; where it differs from the paper, every
cell that depends on it gets a footnote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel

from vggrepro.core.arrays import read_array
from vggrepro.core.records import WEIGHTS_RECORDS, typed_record
from vggrepro.core.validation import validated
from vggrepro.judging.footnotes import footnotes, noted
from vggrepro.judging.values import EFFECTS, declaration, record_form, training_recipes, value_of
from vggrepro.paper.protocol import QUANTITIES, SILENT, Rule, holds, protocol_rules, rules_by_id, text_of
from vggrepro.paper.references import AT, plain_quantity
from vggrepro.paper.runs import Run
from vggrepro.paper.systems import evaluations_of
from vggrepro.paper.tables import PublishedTable, best_classification
from vggrepro.paper.tasks import TASKS, task_of
from vggrepro.settings.choices import described
from vggrepro.settings.effects import HARMLESS
from vggrepro.settings.models import RunSettings, Settings
from vggrepro.settings.variant_settings import initial_layers
from vggrepro.tables.cells import AuditFinding, Table, table_sources

_T = TypeVar("_T", bound=BaseModel)

UNLIKE = (
    'The deltas of cells with a footnote "Not as in the paper" do not compare like with like: what made these numbers departs '
    "from the paper's protocol as the footnote says."
)
"""The note of a table with such cells."""


def audit_table(
    table: Table, published: PublishedTable, settings: Settings, *, results: Path | None, runs: Path | None
) -> Table:
    """The table with findings and footnotes, by the records of the `results` that its cells are from and of their `runs`.

    Raises ValueError where a record is missing, is not what the settings say, or is of other weights, and where numbers
    are shown without a folder of runs.
    """
    sources = table_sources(table, published, settings.seeds)
    paths = {
        place: ours
        for place, of_cell in sources.items()
        # imported scores have no record
        if (ours := [source.below for source in of_cell if not source.below.startswith("imported/")])
    }
    if not paths:
        return table
    if runs is None or results is None:
        raise ValueError(
            f"table {table.number} shows numbers of ours: give --runs, the folder of the runs' records (run.json)"
        )
    audit = Audit(runs, settings)
    by_cell = {}
    for (i, j), of_cell in paths.items():
        row, column = published.rows[i], published.columns[j]
        about = [finding for path in of_cell for finding in audit.of_result(results / path)]
        # a variant's records have to be as it declares; that it departs from the paper is what it is for
        if i < len(table.rows):
            quantity = task_of(row, column) if row.members else plain_quantity(column.quantity)
            differences = audit.of_settings("difference") if row.minus else ()
            by_cell[table.anchor(i, j)] = _touching(quantity, [*about, *differences])
    of_table = noted(by_cell)
    marks, texts = footnotes(of_table, list(by_cell), whole=len(paths) == len(sources))
    table = table.with_cells(lambda i, j, cell: replace(cell, footnotes=marks.get(table.anchor(i, j), ())))
    notes = (*table.notes, *([UNLIKE] if any(finding.deviates for finding in of_table) else []))
    return replace(table, footnotes=(*table.footnotes, *texts), notes=notes, findings=of_table)


def _touching(quantity: str, about: Iterable[AuditFinding]) -> tuple[AuditFinding, ...]:
    """The findings that bear on a quantity, each once."""
    # what bears on top-1 bears on every quantity of posteriors that the paper does not have
    quantity = quantity if quantity in QUANTITIES else "top-1"
    rules = rules_by_id()
    return tuple(dict.fromkeys(finding for finding in about if quantity in rules[finding.rule].touches))


@dataclass(frozen=True)
class Source:
    """A file that says what was done."""

    file: str
    about: str
    """The run, evaluation or result that it is of."""
    remedy: str
    """What to do where no table may show a number of it."""
    document: Mapping[str, Any] = field(default_factory=dict)
    """What stands in it; of a test also its number of `images`, and its protocol and Q as rules take them."""

    def refusal(self, problem: str, first: str = "") -> ValueError:
        """The error to raise; `first` is what else could be done about it."""
        return ValueError(f"{self.file}: {problem}: {f'{first}, or ' if first else ''}{self.remedy}")

    def read(self, key: str, kind: type[_T]) -> _T:
        """What stands below a key of it as a `kind`; a ValueError where that has other fields, or values of other types."""
        try:
            return validated(kind, self.document[key], f"{self.file}: {key}")
        except ValueError as wrong:
            raise ValueError(f"{wrong}: {self.remedy}") from None


def compared(
    rule: Rule, expected: object, value: object, *, choice: int | None, about: str, plausible: str = ""
) -> AuditFinding | None:
    """The finding where a measured value differs from the paper's, or is a choice.

    `plausible` says which values a choice could have, where its own is none of them: it departs from the paper.
    """
    differs = not holds(expected, value)
    # nothing was done where there is nothing of the kind: a net without normalisation
    if expected == SILENT or (choice and value == []) or not (differs or choice):
        return None
    return AuditFinding(
        rule=rule.id,
        section=rule.section,
        says=rule.says,
        kind="choice" if choice and not plausible else "paper",
        choice=choice,
        did=rule.words(text_of(value)),
        expected=text_of(expected) + plausible,
        differs=differs,
        about=(about,),
    )


def findings(section: str, stage: str, source: Source, names: Mapping[str, Any]) -> tuple[AuditFinding, ...]:
    """What was done that departs from the paper, and all choices, by the rules of a section at a stage.

    `names` holds what rules are read from beside the file: its checked record, and the settings of the table. Raises
    ValueError for a field that is missing, and for a value that is neither declared by the settings nor the paper's.
    """
    names = {**names, "document": source.document}
    by_rule = (_finding(rule, stage, source, names) for rule in protocol_rules()[section] if rule.applies(stage))
    return tuple(finding for finding in by_rule if finding)


def _finding(rule: Rule, stage: str, source: Source, names: Mapping[str, Any]) -> AuditFinding | None:
    try:
        value = value_of(rule.measured, names)
    except ValueError as wrong:
        raise source.refusal(f"rule {rule.id} measures {wrong}") from None
    declared, setting = declaration(rule, names)
    effect = EFFECTS.get(setting, HARMLESS)
    choice, plausible = rule.choice or effect.choice_at(stage), ""
    # a number may follow from several settings: how often a rate drops at fixed epochs
    number = isinstance(declared, int | float)
    if choice and effect.plausible and not effect.is_plausible(declared if number else value_of(setting, names)):
        plausible = f"; plausible: {setting} of {text_of(effect.plausible)}"
    expected = rule.expected(stage, names.get("run"))
    finding = compared(rule, expected, value, choice=choice, about=source.about, plausible=plausible)
    did = f"{rule.measured_field}: {rule.words(text_of(value))}"
    if declared != SILENT and not holds(declared, value):
        raise source.refusal(
            f"{did}, but {setting} says {text_of(declared)}. No table shows a number made under an undeclared deviation",
            f"set {setting} to what was done" if setting in EFFECTS else "",
        )
    if declared == SILENT and finding and finding.differs:
        paper = f"expected {finding.expected}. {rule.says} (Section {rule.section}.)"
        raise source.refusal(
            f"{did}, {paper} No setting declares another value (rule {rule.id} of tables/protocol.yaml)"
        )
    return finding


class Audit:
    """The records of the runs below a folder, compared with the settings that a table is made with and with the paper."""

    def __init__(self, runs: Path, settings: Settings) -> None:
        self.settings = settings
        self._read = cache(partial(_read_beside_weights, runs))
        self.of_result = cache(self._of_result)
        """The findings about scores, boxes or SVMs in a folder, and about the runs that were tested for them."""
        self.of_run = cache(self._of_run)
        """The findings about a run and all that it was initialised from; about released weights, whose they are.

        Raises ValueError where a record is missing or is not as its settings declare, where these are not the table's, and
        for a parent that was trained again since.
        """

    def _of_result(self, folder: Path) -> tuple[AuditFinding, ...]:
        document = typed_record(folder / "made.json")
        if "task" in document:
            targets = read_array(folder / "0" / "targets.npy", np.int8, (None, None), "classify again")
            return self.of_svms(folder, document, len(targets))
        labels = read_array(folder / "labels.npy", np.int64, (None,), "evaluate again")
        return self.of_evaluation(folder, document, len(labels))

    def of_evaluation(self, folder: Path, document: Mapping[str, Any], images: int) -> tuple[AuditFinding, ...]:
        """The findings about scores or boxes of so many images, and how these are merged; `document` is their `made.json`.

        Raises ValueError as `of_run` does, and for scores or boxes of other weights than the run's.
        """
        run, about = Run.parse(document["run"]), "{run}/{protocol}/{Q}".format_map(document)
        tested = {**document, "images": images, "Q": [document["Q"]]}
        source = Source(f"{folder}/made.json", about, f"delete {folder} and evaluate again", tested)
        of_boxes = "dense boxes" if document["protocol"] == "dense" else "boxes"
        stages = {"images": "images", "evaluation": of_boxes if run.localises else document["protocol"]}
        # other images than the data set's are declared by name
        if any(part.startswith(f"{run.name}{AT}") for part in folder.parts):
            del stages["images"]
        results = self._of_test(run, stages, source)
        return results + (self.of_settings("merging") if run.localises else ())

    def of_svms(self, folder: Path, document: Mapping[str, Any], images: int) -> tuple[AuditFinding, ...]:
        """The findings about the SVMs of a task on so many images, their features, and the runs that these are from."""
        file, task = f"{folder}/made.json", document["task"]
        remedy = f"delete {folder} and classify again"
        source = Source(file, f"{task}/{folder.name}", remedy, {**document, "images": images, "folder": folder.name})
        of_svms = findings("transfer", task, source, {**dict(self.settings), "task": TASKS[task]})
        results: tuple[AuditFinding, ...] = ()
        for features in document["features"]:
            run, name = Run.parse(features["run"]), f"features of {features['name']}"
            tested = {**features, "protocol": "dense", "Q": features["scales"]}
            remedy = "delete them and compute them again"
            source = Source(f"{file}, {name} by {run.name}", f"{run.name}, {name}", remedy, tested)
            results += self._of_test(run, {"evaluation": "features"}, source)
        return results + of_svms

    def of_settings(self, section: str) -> tuple[AuditFinding, ...]:
        """The findings about what leaves no record but the settings: `stores`, `merging`, and how a `difference` is read."""
        return findings(section, section, Source("settings", section, "set it"), dict(self.settings))

    def _of_run(self, run: Run) -> tuple[AuditFinding, ...]:
        source = self._read(run)
        if source.file.endswith("adopted.json"):
            return self._of_released(run, source)
        if run in self.settings.releases:
            raise source.refusal(f"expected released weights, as released.{run.label} says, got a training")
        settings, parent, document = self.settings.for_run(run), self.settings.parent(run), source.document
        _check_settings(settings, source)
        record = read_record("training", source)
        if record.iterations != document["iterations"]:
            raise source.refusal(f"record.iterations: expected {document['iterations']}, got {record.iterations}")
        if parent:
            self.check_weights(parent, (document["parent"] or {}).get("weights"), source, "parent.weights")
        names = {
            **dict(self.settings.of(run)),
            **dict(settings),
            "record": record,
            "run": run,
            "model": settings.model.as_built,
            "initial_layers": initial_layers(self.settings, run),
            "stage": run.block,
            run.block: settings.train,
        }
        results = findings("training", run.stage, source, names)
        # a run whose S is drawn reads the original images
        stores = () if run.jitters else self.of_settings("stores")
        return results + stores + (self.of_run(parent) if parent else ())

    def _of_released(self, run: Run, source: Source) -> tuple[AuditFinding, ...]:
        """What the makers of a net say of its training, and whether it is the one that the settings name."""
        if (release := self.settings.releases.get(run)) is None:
            raise source.refusal(f"expected a training of {run.name}, got released weights", "name them in released")
        # older records do not say in what the numbers were kept, and at which S: the authors published one net of each of
        # their two configurations, with S from [256;512]
        source = replace(source, document={"numbers": "fp32", "S": [256, 512], **source.document})
        trained_by = source.document["trained by"]
        names = dict(self.settings) | {"recipe": training_recipes().get(trained_by), "run": run, "release": release}
        names["file"] = Path(release.file).name
        return findings("released", trained_by, source, names)

    def _of_test(self, run: Run, stages: Mapping[str, str], source: Source) -> tuple[AuditFinding, ...]:
        """The findings about a run and what was made of its net, by the sections of rules with the stage of each."""
        trained = self.settings.trained_as(run)
        results = self.of_run(trained)
        self.check_weights(trained, source.document.get("weights"), source)
        if source.document.get("classifier"):
            self.check_weights(run.parent() or run, source.document["classifier"], source, "classifier")
            # dense boxes are of the labels that the best classification system gives
            for each in evaluations_of(best_classification()):
                evaluation = each.seeded(run.seed)
                results += self.of_run(evaluation.run)
                # older records do not say which weights gave the labels
                if labelled_by := source.document.get("labelled by"):
                    key = f"labelled by.{evaluation.path}"
                    self.check_weights(evaluation.run, labelled_by.get(evaluation.path), source, key)
        names = {**dict(self.settings.of(run)), "record": read_record("evaluation", source)}
        return sum((findings(*stage, source, names) for stage in stages.items()), results)

    def check_weights(self, run: Run, weights: object, source: Source, key: str = "weights") -> None:
        """A ValueError where something was not made from the weights that the record of a run is of."""
        of_run = self._read(run)
        if weights != (expected := of_run.document["weights"]):
            raise source.refusal(
                f"{key}: expected {expected[:12]}, the weights that {of_run.file} is the record of, got {str(weights)[:12]}"
            )


def _read_beside_weights(runs: Path, run: Run) -> Source:
    """What lies beside the weights of a run."""
    folder = runs / run.name
    file = next((file for name in WEIGHTS_RECORDS if (file := folder / name).exists()), None)
    if file is None:
        raise ValueError(
            f"{folder}/run.json: no such file, and no table shows a number of a run without it: train {run.name}"
        )
    trained = file.name == "run.json"
    keys = ("settings", "parent", "epochs", "iterations") if trained else ("trained by",)
    again = f"{'train' if trained else 'adopt'} {run.name} again"
    document = typed_record(file, ("run", "weights", *keys), kind=WEIGHTS_RECORDS[file.name], again=again)
    source = Source(str(file), run.name, f"delete {folder} and {again}", document)
    if document["run"] != run.name:
        raise source.refusal(f"run: expected {run.name}, got {document['run']}")
    return source


def read_record(section: str, source: Source) -> Any:  # noqa: ANN401
    """The record in a file; a ValueError where there is none, or it has other fields than the rules are read from."""
    if "record" not in source.document:
        raise source.refusal("record is missing: it is older than records, and no table shows a number without one")
    return source.read("record", record_form(section))


def _check_settings(settings: RunSettings, source: Source) -> None:
    recorded = source.read("settings", RunSettings)
    of_run, of_table = ({key: value for key, value, _ in described(each)} for each in (recorded, settings))
    for key in sorted({*of_run, *of_table}):
        if of_run.get(key) != of_table.get(key) and EFFECTS.get(key) != HARMLESS:
            raise source.refusal(
                f"settings.{key} is {of_run.get(key)}, but the table's settings say {of_table.get(key)}",
                f"give the table the settings that {source.about} was trained with",
            )
