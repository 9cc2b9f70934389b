"""All settings of a reproduction, and those of one run; the blocks that they consist of are in `blocks.py`.

`workflow/schemas/config.schema.json` is generated from these classes: one place for types, ranges, defaults and words.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from vggrepro.core.instructions import Instructions
from vggrepro.core.paths import ROOT
from vggrepro.core.validation import FrozenModel, nearest_hint
from vggrepro.core.yaml_files import read_yaml
from vggrepro.paper.additions import with_references, with_systems, with_variants
from vggrepro.paper.measures import allowed_labels
from vggrepro.paper.runs import Run, file_name
from vggrepro.paper.systems import Imported, System, evaluations_of, parse_fusion, released_run
from vggrepro.paper.tables import (
    PublishedTable,
    best_classification,
    know_own_tables,
    published_table,
    table_evaluations,
    table_numbers,
    unprinted_tables,
)
from vggrepro.settings.blocks import (
    BoxTargets,
    DataSettings,
    DevkitSettings,
    DownloadSettings,
    EvaluateSettings,
    FinetuneSettings,
    ImportSettings,
    LocaliseSettings,
    MergeSettings,
    NetSettings,
    ReleaseSettings,
    TrainSettings,
    TransferSettings,
    is_fastest,
)
from vggrepro.settings.effects import DEPARTURE, HARMLESS, choice
from vggrepro.settings.fields import (
    ExistingData,
    ExistingFile,
    ExistingFolder,
    PositiveInteger,
    ReferenceName,
    ReleasedName,
    RowName,
    StoreName,
)
from vggrepro.settings.variant_settings import check_variants, differs, first_run_called, settings_of_variants
from vggrepro.settings.variants import NOTHING, VariantName, VariantSettings

PRESETS = ("paper", "tiny", "smoke")
"""Names of the presets, each a YAML file."""

UNPRINTED = unprinted_tables()
"""Names of the tables that are made when asked for."""

PRESETS_FOLDER = ROOT / "workflow" / "config"


class Settings(FrozenModel):
    """All settings of a reproduction."""

    preset: Annotated[Literal["paper", "tiny", "smoke"], HARMLESS]
    """Name of the preset, and of the folder below `results/`."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(min_length=1), HARMLESS] = (0,)
    """Every run is trained once per seed; with several seeds, tables show the mean and the spread."""
    threads: Annotated[PositiveInteger, HARMLESS] = 8
    """CPU threads of a training or an evaluation. The smoke preset uses one, so that its numbers do not depend on the number
    of cores."""
    instructions: Annotated[Instructions, HARMLESS] = Field(default="fastest", exclude_if=is_fastest)
    """CPU instructions. `avx2`: those that all x86-64 CPUs of the last ten years have, AVX2 with FMA, on the CPU even where
    there is a GPU: with one thread, all of them give the same bits. The blocks `evaluate` and `transfer` take it over."""
    staged: Annotated[bool, DEPARTURE] = True
    """PAPER 3.1: initialise B-E from A. False: from random weights, which the paper found to be possible with Glorot's."""
    localisation: Annotated[bool, HARMLESS] = True
    """Train nets that predict boxes and make Tables 8 to 10 (appendix A). False for a data set without boxes."""
    higher: Annotated[Literal["points", "relative"], choice(8)] = "points"
    """CHOICE 8: the shallow net's error "7% higher" means percentage points, or a ratio."""
    released: Annotated[dict[ReleasedName, ReleaseSettings], DEPARTURE] = {}
    """Released weights in place of trainings, by net and S: `released={A/256: FILE, D: FILE}`, where D and E alone are those
    with S in [256;512], which the authors released. Nothing is trained, and what needs other nets is not run. Localisation is
    off unless it is set."""
    ours: Annotated[bool, HARMLESS] = True
    """Train nets of ours. False: tables have the paper's numbers, `released` nets and `imported` systems alone."""
    imported: Annotated[dict[StoreName, ImportSettings], HARMLESS] = {}
    """Imported systems, by their names in Tables 7 and 10: `imported={"My net": {file: PATH}}`."""
    fusions: Annotated[dict[RowName, str], HARMLESS] = {}
    """More rows of Table 7, by name, written as in its CSV, with imported systems by name: `fusions={"Fused":
    "D/[256;512]/256,384,512 + My net"}`. Evaluations are dense, or those in brackets at the end: `(multi-crop & dense)`."""
    labels: Annotated[dict[ReferenceName, ExistingFile], HARMLESS] = {}
    """Files of other labels of the validation images, by name: `labels={ReaL: real.json}`. Tables 3 to 7 get columns of errors
    by them, and claims are judged again on them."""
    validation: Annotated[dict[ReferenceName, ExistingData], HARMLESS] = {}
    """Other validation images of the same classes, by name, in folders called by the classes' places among the sorted WNIDs,
    as ImageNetV2's: `validation={V2: PATH}`. Nets of ours are evaluated on them too, imported systems where they name a
    file for them (`elsewhere`)."""
    devkit: Annotated[DevkitSettings | None, Field(exclude_if=lambda devkit: devkit is None), HARMLESS] = None
    """True labels and boxes of ILSVRC's validation images: `devkit={folder: PATH, solution: PATH}`. Without it, imported
    systems are compared with the prepared images, which may be of any data set."""
    claims: Annotated[dict[RowName, ExistingFile], HARMLESS] = {}
    """Files of claims of your own, by name, in the form of `tables/claims.yaml`: `claims={mine: my.yaml}`. A cell may be named
    by the text of a system: a row of your own, or a row of the paper such as `D/256/256`. Each file is judged apart."""
    unstaged: Annotated[dict[Literal["glorot", "he", "normal-0.1", "normal-0.01"], ExistingFolder], HARMLESS] = {}
    """Folders below `results/` of the same nets trained from random weights (`staged=false train={init: glorot}`), by which
    the claim on initialisation is judged: `unstaged={glorot: FOLDER}`."""
    unprinted: Annotated[tuple[Literal[UNPRINTED], ...], HARMLESS] = ()  # type: ignore[valid-type]
    """Tables of what the paper states without printing the numbers, by which more of its claims are judged:
    `unprinted=[boxes-256]` trains two nets more, `[scale-gap]` tests at more scales, `[voc-scales,caltech-scales]` trains SVMs
    on features combined otherwise."""
    downloads: Annotated[DownloadSettings, Field(exclude=True)] = DownloadSettings()
    """Where what is fetched lies, and how it comes here."""
    tables: Annotated[ExistingFolder | None, Field(exclude_if=lambda tables: tables is None), HARMLESS] = None
    """A folder with tables of one's own: `tables.yaml` and a CSV for each, in the form of `tables/published/`."""
    variants: Annotated[
        dict[VariantName, VariantSettings], Field(exclude_if=lambda variants: not variants), HARMLESS
    ] = {}
    """Runs of one's own beside the paper's, by name, or a YAML file with them: `variants={"less decay": {of: C/256, train:
    {weight_decay: 1e-4}}}`. A list of values for a key, or a range, makes a sweep."""
    data: DataSettings
    """The data set, and how many of its images are used."""
    model: NetSettings = NetSettings()
    """The size of the nets."""
    train: TrainSettings = TrainSettings()
    """The trainings."""
    finetune: FinetuneSettings = FinetuneSettings()
    """What differs in the runs at any S but 256, such as 384 and [256;512]."""
    localise: LocaliseSettings = LocaliseSettings()
    """What differs in the runs that predict boxes."""
    boxes: BoxTargets = BoxTargets()
    """The targets of the nets that predict boxes."""
    evaluate: EvaluateSettings = EvaluateSettings()
    """The evaluations."""
    merge: MergeSettings = MergeSettings()
    """How predicted boxes are merged."""
    transfer: TransferSettings = TransferSettings()
    """The data sets of transfer, and their features and SVMs."""

    _of_variant: dict[str, Settings] = PrivateAttr(default_factory=dict)
    """All settings of each variant, by its name in file names."""
    _variant_runs: list[Run] = PrivateAttr(default_factory=list)
    _own_tables: list[str] = PrivateAttr(default_factory=list)
    """The names of the tables in the user's folder."""

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: expected each seed once, got {list(self.seeds)}")
        self._check_imported()
        self._check_released()
        if self.data.layout == "stand-in" and self.data.path:
            raise ValueError(
                f"data.path: expected none for the stand-in, got {self.data.path}: for real images, give tiny_imagenet=PATH"
            )
        stages = ("train", self.train), ("finetune", self._with(self.finetune)), ("localise", self._with(self.localise))
        for name, stage in stages:
            if stage.drop_epochs and (
                list(stage.drop_epochs) != sorted(set(stage.drop_epochs)) or stage.drop_epochs[-1] >= stage.epochs
            ):
                raise ValueError(
                    f"{name}.drop_epochs: expected ascending epochs below epochs={stage.epochs}, "
                    f"got {list(stage.drop_epochs)}"
                )
        if self.data.layout != "stand-in" and not self.data.path:
            raise ValueError(f"data.path: the layout {self.data.layout} needs the folder or archive of the data set")
        if self.tables:
            self._own_tables.extend(know_own_tables(Path(self.tables)))
            self._check_own_quantities()
        if self.variants:
            self._of_variant.update(settings_of_variants(self))
            check_variants(self)
            runs = (replace(run, variant=file_name(name)) for name, each in self.variants.items() for run in each.runs)
            self._variant_runs.extend(run for run in runs if differs(self, run))
        return self

    @property
    def releases(self) -> dict[Run, ReleaseSettings]:
        """The released nets by the runs whose places they take."""
        return {replace(released_run(name), seed=self.seeds[0]): release for name, release in self.released.items()}

    def _check_released(self) -> None:
        if not self.released:
            return
        runs = [replace(run, seed=0) for run in self.releases]
        if len(runs) < len(self.released):
            raise ValueError(f"released: expected each run once, got {', '.join(self.released)}")
        known = {e.run for n in table_numbers("scores", unprinted=self.asked_tables) for e in table_evaluations(n)}
        if unknown := [run.label for run in runs if run not in known]:
            rows = sorted({run.label for run in known if run.layers == "all"})
            raise ValueError(f"released: no table evaluates {unknown[0]}: expected some of {', '.join(rows)}")
        best = {e.run for e in evaluations_of(best_classification())}
        if len(self.seeds) > 1 or (self.localisation and not best <= set(runs)):
            raise ValueError(
                "released: expected one seed, because these nets were trained once, and for localisation both D and E"
            )

    def _check_imported(self) -> None:
        for key, names in (("imported", self.imported), ("labels, validation", [*self.labels, *self.validation])):
            for name in names:
                same = [other for other in names if file_name(other) == file_name(name)]
                if len(same) > 1:
                    expected = "names that differ in a letter or a digit"
                    raise ValueError(f"{key}: expected {expected}, got {' and '.join(same)}")
        for name, system in self.imported.items():
            if unknown := [other for other in system.elsewhere if other not in self.validation]:
                hint = nearest_hint(unknown[0], list(self.validation))
                there = ", ".join(self.validation) or "none"
                raise ValueError(
                    f"imported.{name}.elsewhere: validation has no {unknown[0]!r}{hint}: expected some of {there}"
                )
            if name in self.fusions:
                raise ValueError(f"imported, fusions: {name!r} is a name in both: expected different names")
            if self.devkit is None and (system.classes == "devkit" or system.file.endswith(".txt")):
                advice = "devkit={folder: PATH, solution: PATH}"
                raise ValueError(f"imported.{name}: {system.file} has devkit ids: give ILSVRC's devkit, {advice}")
        known = {e for number in table_numbers("scores") for e in table_evaluations(number)}
        for name, fused in (fusion for number in table_numbers() for fusion in self.added(number).items()):
            if new := [e.path for e in evaluations_of(fused) if e not in known]:
                raise ValueError(
                    f"fusions.{name}: no table of the paper evaluates {new[0]}: add a row with it to tables/published/ first"
                )

    def _check_own_quantities(self) -> None:
        """A ValueError for a top-N that no net gets wrong; how many classes a whole data set has, only its images tell."""
        classes = self.data.classes
        columns = [(number, column) for number in self._own_tables for column in published_table(number).columns]
        for number, column in columns:
            if classes and (allowed_labels(column.quantity) or 0) >= classes:
                raise ValueError(
                    f"tables: {self.tables}/tables.yaml: {number}: values.{column.name}.quantity: expected top-N with N below "
                    f"data.classes={classes}, got {column.quantity!r}"
                )

    def added(self, number: str) -> dict[str, System]:
        """Rows that the user adds to a table that compares methods: imported systems, and fusions where the table averages."""
        table = published_table(number)
        if not table.compares_methods:
            return {}
        fusions = self.fusions if table.kind.averages else {}
        try:
            fused = {name: parse_fusion(text, self.imported) for name, text in fusions.items()}
        except ValueError as error:
            raise ValueError(f"fusions: {error}. Imported systems: {', '.join(self.imported) or 'none'}") from None
        return {name: ((Imported(name), Fraction(1)),) for name in self.imported} | fused

    @property
    def references(self) -> tuple[str, ...]:
        """The names of what errors are measured on besides the validation images and their own labels."""
        return (*self.labels, *self.validation)

    def table(self, number: str) -> PublishedTable:
        """A published table, with the rows that the user adds to it, and the columns of references."""
        table = published_table(number)
        if added := self.added(number):
            table = with_systems(table, added)
        if self.variant_runs:
            names = {file_name(name): name for name in self.variants}
            table = with_variants(table, [(names[run.variant], run) for run in self.variant_runs])
        if self.references and table.kind.averages:
            table = with_references(table, self.references)
        return table

    def table_numbers(self, *kinds: str) -> tuple[str, ...]:
        """The tables of these kinds that are made: those that the paper prints, and the unprinted ones that are asked for."""
        return table_numbers(*kinds, unprinted=self.asked_tables)

    @property
    def asked_tables(self) -> tuple[str, ...]:
        """The tables that are made because the settings name them: unprinted ones, and the user's own."""
        return (*self.unprinted, *self._own_tables)

    @property
    def folder(self) -> str:
        """The folder below `results/`, a different one for each data set under a preset."""
        usual = read_preset(self.preset)["data"]["layout"]
        name = self.preset if self.data.layout == usual else f"{self.preset}-{self.data.layout}"
        # released weights must not overwrite runs that were trained for weeks
        return f"{name}-released" if self.released else name

    def _with(self, stage: FinetuneSettings | LocaliseSettings) -> TrainSettings:
        """The training settings, with the values that a stage sets."""
        changes = {name: value for name, value in stage.model_dump().items() if value is not None}
        # a fixed schedule is of the stage that it is given for
        changes["drop_epochs"] = stage.drop_epochs
        return self.train.model_copy(update=changes)

    def of(self, run: Run) -> Settings:
        """All settings as they are for a run: of a variant, with its own among them. A ValueError for an unknown variant."""
        if run.variant and run.variant not in self._of_variant:
            known = f"expected one of {', '.join(self._of_variant)}" if self._of_variant else "there are none"
            raise ValueError(
                f"no variant is called {run.variant!r}: {known}{nearest_hint(run.variant, [*self._of_variant])}"
            )
        return self._of_variant[run.variant] if run.variant else self

    def variant_of(self, run: Run) -> tuple[str, VariantSettings]:
        """The variant that a run is of, and its name as the user writes it."""
        return next((name, each) for name, each in self.variants.items() if file_name(name) == run.variant)

    @property
    def variant_runs(self) -> tuple[Run, ...]:
        """The runs of all variants for the first seed, but for the points of a sweep that are the paper's own run."""
        return tuple(self._variant_runs)

    def parent(self, run: Run) -> Run | None:
        """The run whose weights a run is initialised from: the paper's, or what a variant says; None for random weights."""
        parent = self.named_parent(run)
        # a variant that is only tested otherwise has no weights of its own
        return self.trained_as(parent) if parent and parent.variant else parent

    def named_parent(self, run: Run) -> Run | None:
        """The same as the user names it: perhaps a variant that has the weights of the run that it varies."""
        usual = run.parent(staged=self.staged)
        if not run.variant:
            return usual
        variant = self.variant_of(run)[1]
        if variant.begins == NOTHING:
            return None
        if variant.begins:
            return replace(first_run_called(self, variant.begins), seed=run.seed)
        # stages of one variant follow each other
        within = usual and usual.label in variant.of
        return replace(usual, variant=run.variant) if usual and within else usual

    def trained_as(self, run: Run) -> Run:
        """The run whose weights a run has: of a variant that is trained as the run that it varies, that one."""
        return run.varied if self.for_run(run) == self.for_run(run.varied) else run

    def for_run(self, run: Run) -> RunSettings:
        """All settings that determine the weights of a run; a change of one of them retrains it."""
        own = self.of(run)
        train = own.train if run.block == "train" else own._with(getattr(own, run.block))
        boxes = own.boxes if run.localises else None
        parent = self.parent(run)
        begins = None if parent == run.parent(staged=self.staged) else parent.name if parent else NOTHING
        return RunSettings(model=own.model, train=train, boxes=boxes, instructions=own.instructions, begins=begins)


class RunSettings(FrozenModel):
    """The settings of one training, as `vggrepro train` gets them."""

    model: NetSettings
    """The size of the net."""
    train: TrainSettings
    """The training."""
    boxes: BoxTargets | None = None
    """The targets of a run that predicts boxes; not set for classification."""
    instructions: Annotated[Instructions, HARMLESS] = Field(default="fastest", exclude_if=is_fastest)
    """CPU instructions of the training."""
    begins: Annotated[str | None, Field(exclude_if=lambda begins: begins is None), DEPARTURE] = None
    """The run that a variant is initialised from, or `nothing`; not set: as in the paper."""


def read_preset(preset: str) -> dict[str, Any]:
    """The values in a preset's file; a ValueError that names the file where it cannot be read."""
    path = PRESETS_FOLDER / f"{preset}.yaml"
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected keys and values, got {type(values).__name__}")
    return values
