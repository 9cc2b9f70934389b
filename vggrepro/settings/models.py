"""The settings of a preset, typed and checked.

A preset is a YAML file under `workflow/config/`; what the user gives (`--config smoke=true seeds=[0,1,2]`) is laid over
it. `workflow/schemas/config.schema.json` is generated from these classes: one place for types, ranges, defaults and words.

A field whose docstring says CHOICE fills a silence of the paper; the report lists them all.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vggrepro.core.paths import ROOT
from vggrepro.paper.catalogue import (
    CLASSIFICATION,
    COMPARED,
    Imported,
    Run,
    System,
    evaluations,
    evaluations_of,
    parse_fusion,
)

PRESETS = ("paper", "tiny", "smoke")
PRESETS_FOLDER = ROOT / "workflow" / "config"
SCHEMA_FILE = ROOT / "workflow" / "schemas" / "config.schema.json"

TRANSFER_SETS = ("voc2007", "voc2012", "caltech101", "caltech256")

_T = TypeVar("_T", bound=BaseModel)
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
NonEmptyText = Annotated[str, Field(min_length=1)]


class _Settings(BaseModel):
    """Frozen, no unknown keys, the docstring under a field is its description in the schema."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, strict=True, allow_inf_nan=False
    )


class DataSettings(_Settings):
    """Which images, and how many of them."""

    layout: Literal["ilsvrc", "tiny-imagenet", "stand-in"]
    """How the images lie on disk; `stand-in` is drawn by the program itself."""
    path: str | None = None
    """Folder or archive of the data set; the stand-in needs none. `ilsvrc=PATH` and `tiny_imagenet=PATH` set it."""
    encoding: Literal["pixels", "files"] = "pixels"
    """What the prepared store keeps of an image: its decoded pixels, or its file as it came (a tenth of the bytes)."""
    rescaled: Literal["no", "pixels", "jpeg"] = "no"
    """Keep the training images of runs with one S rescaled to it, in a store of their own: as pixels, which are exactly those
    that crops are cut from (ILSVRC at S = 256: 0.3 TB), or as JPEG, which is smaller and not exact. `vggrepro rescale
    --dry-run` tells the bytes. Jittered runs read the originals."""
    classes: Count | None = None
    """Take the first so many classes in WNID order; all if not set."""
    train_per_class: Count | None = None
    """Take the first so many training images of each class; all if not set."""
    val_per_class: Count | None = None
    """Take the first so many validation images of each class; all if not set."""


class NetSettings(_Settings):
    """The size of the nets. The layer lists are Table 1's for every preset."""

    scale_unit: Literal[8, 16, 32] = 32
    """Pixels that stand for 32 px of the paper, and the stride of the net: 8 makes the crop of 224 one of 56 px and
    S = 256 the 64 px of Tiny ImageNet. A net of stride 8 keeps the first three of the five poolings."""
    width: Annotated[int, Field(ge=1, le=64)] = 64
    """Channels of the first convolution; the others keep the paper's proportions to it."""
    fc: Count = 4096
    """Units of the first two fully connected layers."""
    pooling: Literal["floor", "ceil"] = "floor"
    """CHOICE 3: an odd side is halved down (PyTorch) or up (Caffe). The two differ only in dense evaluation."""
    dropout: Share = 0.5
    """PAPER 3.1: dropout on the first two fully connected layers."""

    @property
    def crop(self) -> int:
        """Side of the training crop in pixels: the paper's 224."""
        return 7 * self.scale_unit

    def pixels(self, scale: int) -> int:
        """The paper's scale (S or Q) in this preset's pixels."""
        return round(scale * self.scale_unit / 32)


class TrainSettings(_Settings):
    """One training. The defaults are the paper's (section 3.1)."""

    batch: Count = 256
    """Images per step, over all processes."""
    epochs: Count = 74
    """PAPER 3.1: 370K iterations = 74 epochs, unless the schedule ends earlier."""
    learning_rate: Positive = 0.01
    """Initial learning rate."""
    momentum: Share = 0.9
    """Momentum of SGD."""
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    """Multiplier of the L2 penalty, on weights and biases."""
    drops: Annotated[int, Field(ge=0)] = 3
    """PAPER 3.1: how often the learning rate is divided by 10."""
    patience: Count = 5
    """CHOICE 7: epochs without a better validation accuracy after which the rate drops, or, after the last drop,
    training ends. The paper says only "stopped improving"."""
    stuck_epochs: Count = 10
    """Training stops, with advice, when the loss has stayed at ln(classes) for so many epochs."""
    drop_epochs: tuple[Count, ...] | None = None
    """CHOICE 12: a fixed schedule instead: the rate drops after these epochs, and training runs for all `epochs`.
    A finished run records where its drops fell, so that it can be repeated without looking at validation images."""
    init: Literal["normal-0.01", "normal-0.1", "glorot", "he"] = "normal-0.01"
    """CHOICE 1: random weights: normal with standard deviation 0.01, or 0.1 (the printed variance of 10^-2), or scaled by
    fan-in and fan-out (Glorot) or fan-in (He)."""
    colour_std: Annotated[float, Field(ge=0)] = 0.1
    """Standard deviation of the colour shift along the principal components of RGB (Krizhevsky)."""
    flip: bool = True
    """Random horizontal flip."""
    on_device: bool = False
    """Keep the training images in the device's memory and cut crops there: for small images of one size that are never made
    smaller. Pixels are within one level of what they are otherwise."""
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    """Arithmetic of the forward and backward pass; weights and updates are always fp32. tf32: a GPU's short mantissa."""
    compile: bool = False
    """Let torch compile the net, a minute or two at the start: on a GPU, pointwise work is then done on the way. The same
    arithmetic in another order, so that losses differ by rounding."""


class FinetuneSettings(_Settings):
    """What differs in the runs at S = 384 and S in [256;512], which go on from a run of the same net."""

    epochs: Count | None = None
    """CHOICE 7: the paper gives no length; not set: as many as from scratch."""
    learning_rate: Positive = 1e-3
    """PAPER 3.1: 10^-3 at S = 384. CHOICE 7: the same for the jitter stage, of which the paper says nothing."""
    drops: Annotated[int, Field(ge=0)] | None = None
    """CHOICE 7: drops of the learning rate; not set: as from scratch."""
    drop_epochs: tuple[Count, ...] | None = None
    """CHOICE 12: a fixed schedule for these runs."""


class LocaliseSettings(_Settings):
    """What differs in the runs that predict boxes, which begin as the classification net of their scale (appendix A)."""

    epochs: Count | None = None
    """CHOICE 9: the paper gives no length; not set: as many as from scratch."""
    learning_rate: Positive = 1e-3
    """PAPER A.1: 10^-3."""
    drops: Annotated[int, Field(ge=0)] | None = None
    """CHOICE 9: drops of the learning rate; not set: as from scratch. What has to stop improving is the error on the box of
    the true class, on a centre crop."""
    drop_epochs: tuple[Count, ...] | None = None
    """CHOICE 12: a fixed schedule for these runs."""


class BoxTargets(_Settings):
    """What a net that predicts boxes is trained towards (appendix A)."""

    target: Literal["largest", "random"] = "largest"
    """CHOICE 9: of several true boxes, the target is the largest, or one drawn anew in every epoch."""
    min_inside: Annotated[float, Field(ge=0, le=1)] = 0.0
    """CHOICE 9: share of the target that must lie in the crop for it to count in the loss. At 0 every crop counts: a box is
    predicted where it is, though the net may see none of it. OverFeat asked for half."""


class MergeSettings(_Settings):
    """How the boxes of all locations, scales and nets become one per label (appendix A, after OverFeat)."""

    match: Literal["distance+overlap", "distance", "overlap"] = "distance+overlap"
    """CHOICE 9: match score of two boxes, the smaller the better: distance of the centres over the root of the mean area,
    1 - IoU, or the sum of the two. OverFeat adds the intersection, under which boxes that overlap would match worse."""
    threshold: Positive = 0.83
    """CHOICE 9: the two boxes that match best are merged until their match score exceeds this. At 5/6 are two equal boxes,
    one shifted along a side, that overlap by one half: each would pass for the other."""
    top_k: Count | None = None
    """CHOICE 9: boxes of a label take part from so many locations a scale, those of its highest scores; all if not set.
    (OverFeat's k counts classes a scale; here the five labels of the classification system are given.)"""
    average: Literal["pairs", "members", "scores"] = "pairs"
    """CHOICE 9: two boxes are replaced by the mean of their coordinates, whatever they were merged from (OverFeat's
    words), or weighted by the number of their members, or by their scores."""


class TransferSettings(_Settings):
    """Data sets that features are tried on, in their official layouts, and how (appendix B). One not given is not run."""

    voc2007: NonEmptyText | None = None
    """Folder or zip of PASCAL VOC-2007, its test part included. `voc2007=PATH` sets it."""
    voc2012: NonEmptyText | None = None
    """Folder or zip of PASCAL VOC-2012, also for Table 12. `voc2012=PATH` sets it."""
    caltech101: NonEmptyText | None = None
    """Folder or zip of Caltech-101. `caltech101=PATH` sets it."""
    caltech256: NonEmptyText | None = None
    """Folder or zip of Caltech-256. `caltech256=PATH` sets it."""
    stand_in: bool = False
    """Draw small data sets in the same layouts in place of those that are not given."""
    normalise: Literal["after", "before"] = "after"
    """CHOICE 10: an image's features are scaled to unit length once, after those of several Q were averaged or stacked, or
    before that too."""
    C: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.1, 0.3, 1.0, 3.0, 10.0)
    """CHOICE 10: the SVM's costs to choose from, on held-out training images."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """PAPER B: share of the training images of a class on which C is chosen; in VOC-2007 it is the part called val."""
    ap_2007: Literal["11-point", "area"] = "11-point"
    """CHOICE 10: average precision on VOC-2007, as VOC counted it that year, or as from 2010 on."""
    splits: Count = 3
    """PAPER B: random splits of Caltech."""
    caltech101_train: Count = 30
    """PAPER B: training images of a class of Caltech-101."""
    caltech101_test: Count = 50
    """PAPER B: test images of a class of Caltech-101, at most."""
    caltech256_train: Count = 60
    """PAPER B: training images of a class of Caltech-256; the others are for testing."""

    @property
    def paths(self) -> dict[str, str | None]:
        """Where the data sets are, by name."""
        return {name: getattr(self, name) for name in TRANSFER_SETS}

    def given(self, name: str) -> bool:
        """Whether a data set is there, or a stand-in is drawn for it."""
        return self.stand_in or self.paths[name] is not None


class ImportSettings(_Settings):
    """A system of somebody else, by what it says of the validation images."""

    file: NonEmptyText
    """A row per image, with a number per class or up to five labels: .npy, .npz, .csv, .tsv or .parquet; or .txt, ILSVRC's
    official format, up to five `label xmin ymin xmax ymax`, or up to five labels, in validation order with devkit ids."""
    order: NonEmptyText | None = None
    """Where the rows have no ids: `validation`, by image number; `folders`, by class and file name, as torchvision has it; or
    a text file that lists all images in the order of the rows."""
    ids: NonEmptyText | None = None
    """The column or array with the images' ids, where it is not plain which one that is."""
    classes: Literal["wnid", "sorted", "devkit"] | None = None
    """What a column or a label says: a WNID, the place among the sorted WNIDs, from 0, or the devkit's id, from 1. Not set:
    WNIDs where they are there, devkit ids in a .txt, else places."""
    logits: bool = False
    """The numbers are scores before the soft-max."""


class ReadingSettings(_Settings):
    """What the numbers of a released net mean. What is not set is as usual in the file's format."""

    channels: Literal["rgb", "bgr"] | None = None
    """Order of the colours that the first layer is given: BGR in Caffe."""
    input: Literal["caffe", "torchvision"] | None = None
    """Pixels of 0-255 less their mean, or, in torchvision, of 0-1 less a mean and divided by a standard deviation."""
    classes: Literal["sorted", "devkit"] | None = None
    """Order of the outputs: the sorted WNIDs, or the devkit's ids. A file that has WNIDs says so itself."""
    full: Literal["chw", "hwc"] | None = None
    """How the first fully connected layer counts its inputs: channel by channel, or place by place."""
    kernels: Literal["hw", "wh"] | None = None
    """Order of the sides of a kernel."""
    mean: Annotated[tuple[float, float, float] | None, Field(strict=False)] = None
    """Mean RGB, 0-255, where it is neither in the file nor that of the authors (Caffe) or of torchvision."""


class ReleaseSettings(ReadingSettings):
    """A released net, by its file; `{D: FILE}` is short for `{D: {file: FILE}}`."""

    file: NonEmptyText
    """Caffe's .caffemodel, MatConvNet's .mat, or PyTorch's .pth or .safetensors in torchvision's layout."""

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, given: Any) -> Any:  # noqa: ANN401
        return {"file": given} if isinstance(given, str) else given

    @property
    def reading(self) -> ReadingSettings:
        """All but the file."""
        return ReadingSettings(**self.model_dump(exclude={"file"}))


class DevkitSettings(_Settings):
    """ILSVRC's own files: what is true of the validation images, and how it numbers classes."""

    folder: NonEmptyText
    """ILSVRC's devkit: the folder with meta_clsloc.mat, the validation labels and the blacklist."""
    solution: NonEmptyText | None = None
    """LOC_val_solution.csv: the true boxes of the validation images, to judge boxes of others by."""


class EvaluateSettings(_Settings):
    """How the nets are tested (section 3.2)."""

    average: Literal["scores", "posteriors"] = "scores"
    """CHOICE 4: dense evaluation averages the class score map over space before the soft-max, or after it."""
    crop_grid: Literal["whole", "square"] = "whole"
    """CHOICE 5: the 5x5 grid of crops spans the whole image, or its central square."""
    batch_pixels: Count = 20_000_000
    """Upper bound of pixels in one batch of the net: images of equal shape are evaluated together."""
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    """Arithmetic of the forward pass; posteriors are always computed and stored in fp32."""


class Settings(_Settings):
    """Everything that a preset fixes."""

    preset: Literal["paper", "tiny", "smoke"]
    """Name of the preset, and of the folder below `results/`."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(min_length=1)] = (0,)
    """Every run is trained once per seed; with several, tables show the mean and the spread."""
    threads: Count = 8
    """CPU threads of a training or an evaluation. The smoke preset takes one, so that its numbers do not depend on the
    number of cores."""
    staged: bool = True
    """PAPER 3.1: initialise B-E from A. False: from random weights, as the paper's remark on Glorot allows."""
    localisation: bool = True
    """Train nets that predict boxes and make Tables 8 to 10 (appendix A). False for a data set without boxes."""
    higher: Literal["points", "relative"] = "points"
    """CHOICE 8: the shallow net's error "7% higher" is read as percentage points or as a ratio."""
    released: dict[Literal["D", "E"], ReleaseSettings] = {}
    """The authors' 16- and 19-layer nets, or others of their layers, in place of the jittered D and E: `released={D: FILE, E:
    FILE}`. Nothing is trained, and what needs other nets is not run. Localisation is off if not asked for."""
    imported: dict[str, ImportSettings] = {}
    """Systems of others, by the name that Tables 7 and 10 show: `imported={"My net": {file: PATH}}`."""
    fusions: dict[str, str] = {}
    """More rows of Table 7, by name, written as in its CSV, imported systems by their names: `fusions={"Ours & theirs":
    "D/[256;512]/256,384,512 + My net"}`. Ours are dense if not said otherwise in brackets: `(multi-crop & dense)`."""
    devkit: DevkitSettings | None = None
    """What is true of ILSVRC's validation images: `devkit={folder: PATH, solution: PATH}`. Without it imported systems are
    compared with the prepared images, and may be of any data set."""
    unstaged: dict[Literal["glorot", "he", "normal-0.1", "normal-0.01"], NonEmptyText] = {}
    """Results of the same nets from random weights (`staged=false train={init: glorot}`), which the claim on initialisation
    is judged by: `unstaged={glorot: FOLDER}`, a folder below `results/` of that run."""
    data: DataSettings
    model: NetSettings = NetSettings()
    train: TrainSettings = TrainSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    localise: LocaliseSettings = LocaliseSettings()
    boxes: BoxTargets = BoxTargets()
    evaluate: EvaluateSettings = EvaluateSettings()
    merge: MergeSettings = MergeSettings()
    transfer: TransferSettings = TransferSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: each one once, got {list(self.seeds)}")
        self._check_imported()
        if self.released and (len(self.seeds) > 1 or (self.localisation and len(self.released) < 2)):
            raise ValueError(
                "released: these nets were trained once, so give one seed, and localisation needs both of them, D and E"
            )
        if self.data.layout == "stand-in" and self.data.path:
            raise ValueError(
                f"data.path: the stand-in has none, got {self.data.path}: for real images, tiny_imagenet=PATH"
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
        return self

    def _check_imported(self) -> None:
        for name, system in self.imported.items():
            same = [other for other in self.imported if Imported(other).path == Imported(name).path]
            if len(same) > 1 or "/" in name or " + " in name or name in self.fusions or not Imported(name).path[9:]:
                raise ValueError(f"imported: expected different names without '/' and ' + ', got {', '.join(same)}")
            if self.devkit is None and (system.classes == "devkit" or system.file.endswith(".txt")):
                where = "devkit={folder: PATH, solution: PATH}"
                raise ValueError(f"imported.{name}: {system.file} has devkit ids: give ILSVRC's devkit, {where}")
        known = {e for number in CLASSIFICATION for e in evaluations(number)}
        for name, fused in self.added("7").items():
            if new := [e.path for e in evaluations_of(fused) if e not in known]:
                raise ValueError(
                    f"fusions.{name}: no table of the paper evaluates {new[0]}: add a row with it to tables/published/ first"
                )

    def added(self, number: str) -> dict[str, System]:
        """Rows that the user adds to a table that compares methods: systems of others, and in Table 7 fusions."""
        if number not in COMPARED:
            return {}
        try:
            fused = {name: parse_fusion(text, self.imported) for name, text in self.fusions.items() if number == "7"}
        except ValueError as error:
            raise ValueError(f"fusions: {error}. Imported systems: {', '.join(self.imported) or 'none'}") from None
        return {name: ((Imported(name), Fraction(1)),) for name in self.imported} | fused

    @property
    def folder(self) -> str:
        """The folder below `results/`: two data sets under one preset do not share one."""
        name = self.preset if self.data.layout == _preset_layout(self.preset) else f"{self.preset}-{self.data.layout}"
        # a net that was trained for weeks is not to be written over
        return f"{name}-released" if self.released else name

    def _with(self, stage: FinetuneSettings | LocaliseSettings) -> TrainSettings:
        """The training settings with what differs in a stage."""
        given = {name: value for name, value in stage.model_dump().items() if value is not None}
        if "epochs" in given and "drop_epochs" not in given:
            given["drop_epochs"] = None
        return self.train.model_copy(update=given)

    def for_run(self, run: Run) -> RunSettings:
        """All that decides the weights of a run: a change of one value retrains it."""
        if run.localises:
            return RunSettings(model=self.model, train=self._with(self.localise), boxes=self.boxes)
        return RunSettings(model=self.model, train=self.train if run.S == "256" else self._with(self.finetune))


class RunSettings(_Settings):
    """What `vggrepro train` needs to know: the value of `Settings.for_run`."""

    model: NetSettings
    train: TrainSettings
    boxes: BoxTargets | None = None
    """Of a run that predicts boxes."""


def _preset_layout(preset: str) -> str:
    return str(_read(PRESETS_FOLDER / f"{preset}.yaml")["data"]["layout"])


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such settings file") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected keys and values, got {type(found).__name__}")
    return found


def _lay_over(base: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `given` on top; dictionaries are merged, everything else is replaced."""
    merged = dict(base)
    for key, value in given.items():
        inner = merged.get(key)
        merged[key] = _lay_over(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return merged


def _typed(value: Any) -> Any:  # noqa: ANN401
    """Snakemake hands most values of `--config` on as text: `true`, `[0,1]` and `1e-3` become what they say."""
    if isinstance(value, Mapping):
        return {key: inner if key in (*VERBATIM, *TRANSFER_SETS) else _typed(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_typed(inner) for inner in value]
    if not isinstance(value, str):
        return value
    try:
        return float(value) if any(c in value for c in ".eE") else int(value)
    except ValueError:
        return {"true": True, "false": False, "null": None}.get(value.lower(), value)


VERBATIM = ("path", "file", "order", "ids", "folder", "solution")
"""Keys whose values are names of files and the like: nothing is read into them."""
LAYOUT_OF = {"tiny_imagenet": "tiny-imagenet", "ilsvrc": "ilsvrc"}
PATHS = (*LAYOUT_OF, *TRANSFER_SETS)
SHORTHANDS = ("smoke", *PATHS)
"""Keys of the command line that stand for longer ones."""


def load_settings(given: Mapping[str, Any]) -> Settings:
    """The settings for what the user gave: a preset's file with the user's values on top.

    `smoke=true` is short for `preset=smoke`; `tiny_imagenet=PATH` and `ilsvrc=PATH` for `data={layout: ..., path: PATH}`;
    `voc2007=PATH` and its like for `transfer={voc2007: PATH}`.
    A ValueError names the key, what was expected and, for a mistyped key, the nearest one.
    """
    paths = {key: str(given[key]) for key in PATHS if given.get(key) is not None}
    values = {key: _typed(value) for key, value in given.items() if key not in PATHS}
    preset = _preset(values, paths)
    preset_values = _read(PRESETS_FOLDER / f"{preset}.yaml")
    _check_schedule(preset_values, values)
    values = _lay_over(preset_values, values)
    if values.get("released"):
        values.setdefault("localisation", False)
    for key, path in paths.items():
        layout = LAYOUT_OF.get(key)
        block = {"data": {"layout": layout, "path": path}} if layout else {"transfer": {key: path}}
        values = _lay_over(values, block)
    return validated(Settings, values, "config")


def _preset(values: dict[str, Any], paths: Mapping[str, str]) -> str:
    """The preset that is asked for, and its name put in place of `smoke`; a ValueError where the user contradicts himself."""
    smoke = values.pop("smoke", False)
    if not isinstance(smoke, bool):
        raise ValueError(f"config: smoke: expected true or false, got {smoke!r}")
    if smoke and values.get("preset", "smoke") != "smoke":
        raise ValueError(
            f"config: smoke=true asks for the preset smoke and preset={values['preset']} for another: give one"
        )
    if "tiny_imagenet" in paths and not smoke and "preset" not in values:
        raise ValueError(
            "config: tiny_imagenet is given without a preset: add smoke=true (minutes) or preset=tiny (one GPU)"
        )
    if {"tiny_imagenet", "ilsvrc"} <= set(paths):
        raise ValueError("config: tiny_imagenet and ilsvrc are both given: one data set at a time")
    preset = str(values.setdefault("preset", "smoke" if smoke else "paper"))
    if preset not in PRESETS:
        raise ValueError(
            f"config: preset: expected one of {', '.join(PRESETS)}, got {preset!r}{_nearest(preset, PRESETS)}"
        )
    return preset


def _check_schedule(preset: dict[str, Any], given: Mapping[str, Any]) -> None:
    """A ValueError if the user gives a plateau rule where the preset fixes the epochs of the drops."""
    for block in ("train", "finetune", "localise"):
        said = given.get(block)
        fixed = preset.get(block, {}).get("drop_epochs")
        if fixed and isinstance(said, Mapping) and {"drops", "patience"} & set(said) and "drop_epochs" not in said:
            raise ValueError(
                f"config: {block}.drops and {block}.patience do nothing, because {block}.drop_epochs={fixed} fixes the drops: "
                f"add drop_epochs: null to follow validation accuracy"
            )


def choices(settings: Settings) -> list[tuple[str, str, str]]:
    """Every setting that fills a silence of the paper: key, value, and what it decides, from the settings' own docs."""
    found = ((key, value, text.partition("CHOICE ")[2]) for key, value, text in _described(settings))
    return [(key, value, text) for key, value, text in found if text]


FIXED_CHOICES = [
    ("normalisation", "alpha = 1e-4 per channel, k = 2", "2: Krizhevsky's formula: alpha is not divided by n."),
    ("distribution of S", "uniform over the integers", "6: in pixels of the preset, both ends included."),
    ("interpolation", "PIL's antialiased bilinear", "6: in training and in testing."),
    (
        "what A lends",
        "layers of the same name",
        "11: conv1_1, conv2_1, conv3_1, conv3_2, and the three FC layers. B-5x5 has no conv3_2; its 5x5 kernels get A's as "
        "their middle, with zeros around: the same function.",
    ),
    (
        "what steers the rate",
        "top-1 error, centre crop",
        "12: on validation images, at Q = S or the middle of its range.",
    ),
    (
        "colour shift",
        "PCA of RGB in [0, 1]",
        "the eigenvalues are variances in that scale, as in the constants in common use; every pixel of the training set "
        "counts the same.",
    ),
    (
        "momentum",
        "torch's SGD",
        "the rate multiplies the velocity; in Caffe it enters it: no difference but where it drops.",
    ),
    (
        "frame of a box",
        "the crop: its middle and its side",
        "9: a box is centre x, centre y, width, height; the origin is the middle of the net's window and the unit the "
        "window's side, so that a mirrored crop turns the sign of centre x and nothing else.",
    ),
    (
        "loss of a box",
        "half the squared distance",
        "9: of the box vectors, in units of the window's side, averaged over a batch's boxes: what a rate of 10^-3 means.",
    ),
    (
        "images that teach boxes",
        "those with a box",
        "9: mirrored and shifted in colour as for classification.",
    ),
    (
        "boxes at test",
        "of the image, not of its mirror image",
        "9: one per location, a window of the crop's size every scale unit. Before it is judged, the chosen box is cut at the "
        "image's edges.",
    ),
    (
        "score of a box",
        "the label's posterior in its window",
        "9: from the classification net that the run began with, at the same Q; a merged box has the sum of its members'.",
    ),
    (
        "features",
        "after the ReLU",
        "10: the second FC layer's output; the mean over space and over the image and its mirror image is taken of it.",
    ),
    (
        "stacked nets",
        "each of unit length",
        "10: descriptors of nets (and of image and box) are stacked after each was scaled to unit length; so is the whole.",
    ),
    (
        "scales of actions",
        "those of VOC",
        "10: for whole images and for persons' boxes, which are cut out as they are.",
    ),
    (
        "mean over actions",
        "the ten that VOC counts",
        '10: persons who do something else are among the examples, but "other" has no part in the mean.',
    ),
    (
        "SVM",
        "LIBLINEAR, squared hinge",
        "10: one class against the rest, the bias regularised as a weight; one C for all, the best on held-out images.",
    ),
    (
        "poolings of small nets",
        "the first 3 of 5 at scale unit 8",
        "so that a crop ends as 7x7 features, as in the paper.",
    ),
]
"""Silences of the paper that are filled once and for all: what, how, and the number in the list of silences."""


def departures(settings: Settings) -> list[tuple[str, str, str]]:
    """Every setting that decides numbers and is not the paper preset's: key, value here, value there."""
    paper = {key: value for key, value, _ in _described(load_settings({}))}
    skipped = (
        "preset",
        "seeds",
        "threads",
        "localisation",
        "imported",
        "fusions",
        "unstaged",
        "released",
        "devkit",
        "data.path",
        *(f"transfer.{name}" for name in TRANSFER_SETS),
        "data.encoding",
        "evaluate.batch_pixels",
    )
    described = ((key, value) for key, value, _ in _described(settings))
    here = ((key, value) for key, value in described if key not in skipped and key.split(".")[0] not in skipped)
    # pixels that are kept rescaled are those that would be made anew for every crop
    same = ("data.rescaled", "pixels")
    return [(key, value, paper[key]) for key, value in here if value != paper[key] and (key, value) != same]


def _described(model: BaseModel, prefix: str = "") -> list[tuple[str, str, str]]:
    """(key, value, description) of every setting, blocks opened."""
    found = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            found += _described(value, f"{prefix}{name}.")
        else:
            shown = (
                ", ".join(map(str, value)) if isinstance(value, tuple) else "not set" if value is None else str(value)
            )
            found.append((prefix + name, shown, " ".join((field.description or "").split())))
    return found


def settings_schema() -> str:
    """The reference of all settings as a JSON schema: types, ranges, defaults and descriptions."""
    return json.dumps(Settings.model_json_schema(), indent=1) + "\n"


def validated(kind: type[_T], values: Mapping[str, Any], where: str) -> _T:
    """`values` as a `kind`; a ValueError in one message for all that is wrong."""
    try:
        return kind.model_validate_json(_json(values))
    except ValidationError as error:
        found = error.errors()
        # pydantic calls a list too short besides, where an entry is wrong
        wrong = {problem["loc"][:-1] for problem in found if problem["loc"]}
        told = [problem for problem in found if problem["type"] != "too_short" or problem["loc"] not in wrong]
        raise ValueError("\n".join(_explain(kind, problem, where) for problem in told)) from None


def _json(values: Mapping[str, Any]) -> str:
    # JSON has no tuples: strict checking of JSON takes a list for one, and nothing else is converted.
    return json.dumps(values)


def _explain(kind: type[BaseModel], problem: Any, where: str) -> str:  # noqa: ANN401
    """One line for one problem: the key, what was expected, what came, the nearest key."""
    path = [part for part in problem["loc"] if not (isinstance(part, str) and "[" in part)]
    key = ".".join(str(part) for part in path)
    if problem["type"] == "extra_forbidden":
        model = kind
        for part in path[:-1]:
            model = next(
                t
                for t in (model.model_fields[part].annotation, *get_args(model.model_fields[part].annotation))
                if hasattr(t, "model_fields")
            )
        known = [*model.model_fields, *(SHORTHANDS if model is Settings else ())]
        return f"{where}: no setting is called {key!r}{_nearest(str(path[-1]), known)}. Known here: {', '.join(known)}"
    if problem["type"] == "missing":
        return f"{where}: {key} is missing"
    if problem["type"] == "value_error":
        return f"{where}: {problem['ctx']['error']}"
    if unit := {"too_short": "entry", "string_too_short": "character"}.get(problem["type"]):
        return f"{where}: {key}: expected at least {problem['ctx']['min_length']} {unit}, got {problem['input']!r}"
    return f"{where}: {key}: {problem['msg'].replace('Input should be', 'expected')}, got {problem['input']!r}"


def _nearest(word: str, known: tuple[str, ...] | list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
