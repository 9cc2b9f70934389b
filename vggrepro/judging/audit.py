"""What trainings and evaluations did, by their own records, against the paper's protocol. No torch.

Three things are held together: what the settings say (`promised`), what was measured while it was done (`Record`, written by
`witness`), and what the paper says (`protocol`). A record that is not as its settings say stops whoever wants to show a number
made by it; where both differ from the paper, every cell that it touches gets a footnote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, inf
from pathlib import Path
from typing import Any, Literal

from vggrepro.core.files import read_json
from vggrepro.core.validation import validated
from vggrepro.judging.records import (
    EvaluationRecord,
    TrainingRecord,
    evidence_of_svms,
    evidence_of_test,
    evidence_of_training,
    flattened_settings,
    stage_of,
)
from vggrepro.paper.protocol import (
    AtMost,
    DrawnRange,
    Exactly,
    Expected,
    Items,
    OneOf,
    Range,
    Rule,
    protocol_rules,
    text_of,
)
from vggrepro.paper.runs import Run
from vggrepro.paper.systems import evaluations_of
from vggrepro.paper.tables import best_classification
from vggrepro.paper.tasks import TASKS
from vggrepro.settings.models import RunSettings, Settings


@dataclass(frozen=True)
class Finding:
    """Something that was done otherwise than the paper says, or that it does not say."""

    rule: str
    section: str
    says: str
    """The paper, in our words."""
    kind: Literal["paper", "choice"]
    choice: int | None
    """Number in the list of the paper's silences."""
    shows: str
    """How a footnote says what was done; `{}` stands for it."""
    did: str
    expected: str
    """By the paper; of a choice, the default."""
    differs: bool
    """Whether it is otherwise; a choice is listed where it is the default, too."""
    touches: tuple[str, ...]
    """Quantities."""
    about: str
    """The run, evaluation or result that did it."""

    @property
    def deviates(self) -> bool:
        """Whether it departs from the paper, so that numbers cannot be compared."""
        return self.differs and self.kind == "paper"


@dataclass(frozen=True)
class Promise:
    """What the settings say of a field of a record, and by which setting."""

    expected: Expected
    setting: str


Promises = Mapping[str, Promise]
AuditEvidence = Mapping[str, Any]
"""Fields that rules are about, with their values."""


def findings(
    evidence: AuditEvidence, held: Iterable[Rule], stage: str, *, about: str, run: Run | None = None
) -> tuple[Finding, ...]:
    """What the rules of a stage find in some evidence: every departure from the paper, and every choice.

    Raises ValueError for evidence that lacks a field.
    """
    found = []
    for rule in held:
        expected = rule.expected(stage, run)
        if expected is None:
            continue
        if rule.field not in evidence:
            raise ValueError(f"{about}: no {rule.field} in its record, which rule {rule.id} is about: make it again")
        value = evidence[rule.field]
        differs = not expected.holds(value)
        # no choice was made where there is nothing of the kind: a net without normalisation
        if differs or (rule.kind == "choice" and value not in ((), [])):
            said = rule.id, rule.section, rule.says, rule.kind, rule.choice, rule.shows
            found.append(Finding(*said, text_of(value), str(expected), differs, rule.touches, about))
    return tuple(found)


def check_kept(evidence: AuditEvidence, promises: Promises, file: Path, again: str) -> None:
    """A ValueError for the first field that is not what the settings say: nobody declared that."""
    for field, promise in promises.items():
        if not promise.expected.holds(evidence[field]):
            raise ValueError(
                f"{file}: {field} is {text_of(evidence[field])}, but {promise.setting} says {promise.expected}: no table "
                f"shows a number made under an undeclared deviation. Set {promise.setting} to what was done, or {again}"
            )


def check_declared(found: Iterable[Finding], held: Iterable[Rule], promises: Promises, file: Path, again: str) -> None:
    """A ValueError for a deviation in a field that no setting speaks of."""
    field_of = {rule.id: rule.field for rule in held}
    for finding in found:
        field = field_of[finding.rule]
        if finding.deviates and field not in promises and not field.startswith("settings."):
            raise ValueError(
                f"{file}: {field}: {finding.shows.format(finding.did)}, expected {finding.expected}. {finding.says} (Section "
                f"{finding.section}.) No setting declares anything else: {again}"
            )


def promised(run: Run, settings: Settings, in_epoch: int, epochs: int) -> dict[str, Promise]:
    """What the settings say that the record of a run has to hold, over so many epochs of so many images."""
    mine = settings.for_run(run)
    train, model = mine.train, mine.model
    stage = {"scratch": "train", "localisation": "localise"}.get(stage_of(run), "finetune")
    parent = run.parent(staged=settings.staged)
    fixed, batch = train.drop_epochs, min(train.batch, in_epoch)
    low, high = (model.pixels(int(side)) * 224 / model.crop for side in (run.S.split("-") * 2)[:2])
    return {
        # first: by the crop the other sides are known in the paper's scale
        "crop": Promise(Exactly(model.crop), "model.scale_unit"),
        "batch": Promise(Exactly(batch), "train.batch"),
        "momentum": Promise(Exactly(train.momentum), "train.momentum"),
        "weight_decay": Promise(Exactly(train.weight_decay), "train.weight_decay"),
        "rate": Promise(Exactly(train.learning_rate), f"{stage}.learning_rate"),
        "drops": Promise(Items(fixed) if fixed is not None else AtMost(train.drops), f"{stage}.drop_epochs"),
        "drop_count": Promise(Range(0, train.drops if fixed is None else len(fixed)), f"{stage}.drops"),
        "epochs": Promise(Exactly(train.epochs) if fixed is not None else Range(1, train.epochs), f"{stage}.epochs"),
        "iterations": Promise(Exactly(epochs * ceil(in_epoch / batch)), f"{stage}.epochs"),
        "precision": Promise(_precision(train.precision), "train.precision"),
        "init": Promise(Exactly(train.init), "train.init"),
        "parent": Promise(Exactly(parent.name if parent else None), "staged"),
        "moved": Promise(Exactly(run.layers), "the run's name"),
        "S": Promise(DrawnRange(low, high), "the run's name"),
        "flipped": Promise(Exactly(0.5 if train.flip else 0.0), "train.flip"),
        "colour_std": Promise(Exactly(train.colour_std), "train.colour_std"),
        "cut_on": Promise(Exactly("device" if train.on_device else "CPU"), "train.on_device"),
        "dropout": Promise(Exactly(model.dropout), "model.dropout"),
        "width": Promise(Exactly(model.width), "model.width"),
        "fc": Promise(Exactly(model.fc), "model.fc"),
        "poolings": Promise(Exactly({8: 3, 16: 4, 32: 5}[model.scale_unit]), "model.scale_unit"),
        "pooling": Promise(Exactly(model.pooling), "model.pooling"),
        **promised_of_data(settings),
    }


def _precision(name: str) -> Expected:
    """tf32 is leave to be short, which a CPU does not take."""
    return OneOf(("tf32", "fp32")) if name == "tf32" else Exactly(name)


DATA_SETS = {
    "ilsvrc": ("ILSVRC-2012", 1000, 1_281_167, 50_000),
    "tiny-imagenet": ("Tiny ImageNet", 200, None, None),
    "stand-in": ("stand-in (drawn by the program)", None, None, None),
}
"""By layout: name, classes, training and validation images, where they are fixed."""


def promised_of_data(settings: Settings) -> dict[str, Promise]:
    """What the settings say of the images: exactly those of ILSVRC, or of any set no more than were asked for."""
    data = settings.data
    name, all_classes, train, val = DATA_SETS[data.layout]
    classes = data.classes or all_classes

    def count(per_class: int | None, whole: int | None) -> Expected:
        if per_class is None and data.classes is None and whole is not None:
            return Exactly(whole)
        return Range(1, per_class * classes if per_class and classes else inf)

    known = Exactly(classes) if classes and data.layout == "ilsvrc" else Range(1, classes or inf)
    return {
        "data_set": Promise(Exactly(name), "data.layout"),
        "classes": Promise(known, "data.classes"),
        "train_images": Promise(count(data.train_per_class, train), "data.train_per_class"),
        "val_images": Promise(count(data.val_per_class, val), "data.val_per_class"),
    }


def promised_of_test(settings: Settings, stage: str) -> dict[str, Promise]:
    """What the settings say of an evaluation, or of features."""
    mine = settings.evaluate
    found = {"precision": Promise(_precision(mine.precision), "evaluate.precision")}
    if stage == "features":
        return found
    data = promised_of_data(settings)
    return found | {
        "settings.average": Promise(Exactly(mine.average), "evaluate.average"),
        "settings.crop_grid": Promise(Exactly(mine.crop_grid), "evaluate.crop_grid"),
        "data_set": data["data_set"],
        "images": data["val_images"],
    }


def promised_of_svms(settings: Settings, task: str) -> dict[str, Promise]:
    """What the settings say of a task's SVMs; a data set of the user's own may have any number of classes."""
    mine, data = settings.transfer, TASKS[task].data
    found = {
        "settings.normalise": Promise(Exactly(mine.normalise), "transfer.normalise"),
        "settings.held_out": Promise(Exactly(mine.held_out), "transfer.held_out"),
        "C_from": Promise(Items(mine.C), "transfer.C"),
        "classes": Promise(Range(1, TASKS[task].classes), f"transfer.{data}"),
    }
    if task == "voc2007":
        found["measure"] = Promise(Exactly(mine.ap_2007), "transfer.ap_2007")
    if data.startswith("caltech"):
        train = mine.caltech101_train if data == "caltech101" else mine.caltech256_train
        found["splits"] = Promise(Exactly(mine.splits), "transfer.splits")
        found["trained_on"] = Promise(Exactly(train), f"transfer.{data}_train")
    return found


ADOPTED = "adopted.json"
"""What stands beside weights that others trained, in place of `run.json`."""


class Audit:
    """The records of the runs below a folder, held against the settings that a table is made with and against the paper."""

    def __init__(self, runs: Path, settings: Settings) -> None:
        self.runs, self.settings = runs, settings
        self._known: dict[Run, tuple[Finding, ...]] = {}
        self._about: dict[Run, Mapping[str, Any]] = {}

    def of_run(self, run: Run) -> tuple[Finding, ...]:
        """What a run and those that it began from did otherwise.

        Of a net that was not trained here but adopted from others nothing is known, and nothing found. Raises ValueError
        where there is no record, where it is not as its own settings say or these are not as the table's settings say, and
        for a parent that was trained again since.
        """
        if run not in self._known:
            self._known[run] = () if self._adopted(run) else self._trained(run)
        return self._known[run]

    def _trained(self, run: Run) -> tuple[Finding, ...]:
        about, mine = self._read(run), self._findings(run)
        parent = run.parent(staged=self.settings.staged)
        if parent is None:
            return mine
        self._check_parent(run, about, parent)
        return mine + self.of_run(parent)

    def _adopted(self, run: Run) -> bool:
        return (self.runs / run.name / ADOPTED).exists() and not (self.runs / run.name / "run.json").exists()

    def _file(self, run: Run) -> Path:
        return self.runs / run.name / (ADOPTED if self._adopted(run) else "run.json")

    def _again(self, run: Run) -> str:
        return f"delete {self.runs / run.name} and train {run.name} again"

    def _read(self, run: Run) -> Mapping[str, Any]:
        if run not in self._about:
            file = self._file(run)
            if not file.exists():
                raise ValueError(
                    f"{file}: no such file, and a table shows no number of a run without it: train {run.name}"
                )
            trained = () if self._adopted(run) else ("settings", "parent", "epochs", "iterations")
            about = read_json(file, ("run", "weights", *trained))
            if about["run"] != run.name:
                raise ValueError(f"{file}: run: expected {run.name}, got {about['run']}: {self._again(run)}")
            if trained and "record" not in about:
                raise ValueError(
                    f"{file}: record: there is none of what this training did: it is older than records are, and no table "
                    f"shows a number without one: {self._again(run)}"
                )
            self._about[run] = about
        return self._about[run]

    def _findings(self, run: Run) -> tuple[Finding, ...]:
        about, file, again = self._read(run), self._file(run), self._again(run)
        self._check_settings(run, about)
        record = validated(TrainingRecord, about["record"], f"{file}: record")
        evidence = evidence_of_training(about, record)
        if record.iterations != about["iterations"]:
            raise ValueError(
                f"{file}: record.iterations: expected {about['iterations']}, got {record.iterations}: {again}"
            )
        promises = promised(run, self.settings, max(record.in_epoch, default=0), about["epochs"])
        check_kept(evidence, promises, file, again)
        held = protocol_rules()["training"]
        found = findings(evidence, held, stage_of(run), about=run.name, run=run)
        check_declared(found, held, promises, file, again)
        return found

    def _check_settings(self, run: Run, about: Mapping[str, Any]) -> None:
        """The run's own settings are those that the table is made with."""
        file = self._file(run)
        theirs = flattened_settings(
            validated(RunSettings, about["settings"], f"{file}: settings").model_dump(mode="json")
        )
        ours = flattened_settings(self.settings.for_run(run).model_dump(mode="json"))
        for key in sorted({*theirs, *ours}):
            if theirs.get(key) != ours.get(key):
                raise ValueError(
                    f"{file}: {key} is {text_of(theirs.get(key))}, but the table's settings say {text_of(ours.get(key))}: "
                    f"give the table the settings that {run.name} was trained with, or {self._again(run)}"
                )

    def _check_parent(self, run: Run, about: Mapping[str, Any], parent: Run) -> None:
        began, now = (about["parent"] or {}).get("weights"), self._read(parent)["weights"]
        if began != now:
            raise ValueError(
                f"{self._file(run)}: parent.weights: began with {str(began)[:12]}, but {self._file(parent)} now has "
                f"{now[:12]}: {self._again(run)}"
            )

    def check_weights(self, run: Run, weights: object, file: Path, again: str) -> None:
        """A ValueError where a result was not made by the weights that a run's record is of."""
        expected = self._read(run)["weights"]
        if weights != expected:
            raise ValueError(
                f"{file}: weights: expected {expected[:12]}, those that {self._file(run)} is the record of, got "
                f"{str(weights)[:12]}: {again}"
            )

    def of_evaluation(self, folder: Path, made: Mapping[str, Any], images: int) -> tuple[Finding, ...]:
        """What an evaluation of so many images did otherwise, and the run that it tested; `made` is its `made.json`.

        Raises ValueError as `of_run` does, and for scores or boxes of other weights than the run's.
        """
        run, file, again = Run.parse(made["run"]), folder / "made.json", f"delete {folder} and evaluate again"
        found = self.of_run(run)
        self.check_weights(run, made.get("weights"), file, again)
        if made.get("classifier"):
            self.check_weights(run.parent() or run, made["classifier"], file, again)
            # dense boxes are of the labels that the best classification system gives
            for evaluation in evaluations_of(best_classification()):
                found += self.of_run(evaluation.seeded(run.seed).run)
        about = f"{run.name}/{made['protocol']}/{made['Q']}"
        stage = "boxes" if run.localises else made["protocol"]
        mine = self._of_test(made, images, run, (made["Q"],), stage, about, file, again)
        return found + mine

    def _of_test(
        self,
        made: Mapping[str, Any],
        images: int,
        run: Run,
        scales: tuple[int, ...],
        stage: str,
        about: str,
        file: Path,
        again: str,
    ) -> tuple[Finding, ...]:
        if "record" not in made:
            raise ValueError(
                f"{file}: record: there is none of what was done: it is older than records are, and no table shows a number "
                f"without one: {again}"
            )
        shown = validated(EvaluationRecord, made["record"], f"{file}: record")
        evidence = evidence_of_test(made, shown, images, self.settings.for_run(run).model, scales)
        promises = promised_of_test(self.settings, stage)
        check_kept(evidence, promises, file, again)
        held = protocol_rules()["evaluation"]
        found = findings(evidence, held, stage, about=about)
        check_declared(found, held, promises, file, again)
        return found

    def of_merging(self) -> tuple[Finding, ...]:
        """How boxes are merged: no record can tell but the settings that they are merged with here."""
        return findings(self.settings.merge.model_dump(), protocol_rules()["merging"], "merging", about="merging")

    def of_svms(self, folder: Path, made: Mapping[str, Any]) -> tuple[Finding, ...]:
        """What the SVMs of a task did otherwise, their features, and the runs that these are from."""
        file, again = folder / "made.json", f"delete {folder} and classify again"
        found: tuple[Finding, ...] = ()
        for features in made["features"]:
            run, about = Run.parse(features["run"]), f"{features['run']}, features of {features['name']}"
            where = Path(f"{file}, features of {features['name']} by {run.name}")
            anew = "delete the features and compute them again"
            found += self.of_run(run)
            self.check_weights(run, features.get("weights"), where, anew)
            images, scales = features.get("images", 0), tuple(features["scales"])
            found += self._of_test(features, images, run, scales, "features", about, where, anew)
        if "trained on" not in made:
            raise ValueError(f"{file}: trained on: how many images of a class trained is not in it: {again}")
        evidence, promises = evidence_of_svms(made), promised_of_svms(self.settings, made["task"])
        check_kept(evidence, promises, file, again)
        held = protocol_rules()["transfer"]
        mine = findings(evidence, held, made["task"], about=f"{made['task']}/{folder.name}")
        check_declared(mine, held, promises, file, again)
        return found + mine
