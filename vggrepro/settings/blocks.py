"""The blocks of the settings, each typed and checked: data, nets, training, evaluation, merging, transfer.

The annotation of a field says what another value means (`effects.py`); a docstring with CHOICE, which choice it makes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from vggrepro.core.instructions import Instructions
from vggrepro.core.validation import FrozenModel
from vggrepro.paper.nets import Conv, averages, layers_of, scaled_width, written
from vggrepro.paper.tasks import TASKS, TRANSFER_SETS
from vggrepro.settings.effects import DEPARTURE, HARMLESS, Effect, choice
from vggrepro.settings.fields import (
    ExistingData,
    ExistingFile,
    FolderToWrite,
    NaturalNumber,
    NonEmptyText,
    PositiveInteger,
    PositiveNumber,
    Share,
)

STAGE_EPOCHS = {"from": 10, "to": 148}
"""Plausible epochs of a stage whose length is unspecified: of the order of the 74 from scratch, at most twice as many."""
DROPS = {"from": 1, "to": 4}
"""Plausible drops of its rate: none would leave it as noisy as it began; three from scratch."""
FIRST_DROP = {"from": 4, "to": 147}
"""Plausible epochs of such drops: no earlier than the shortest plausible patience lets the first be."""

VOC_TASKS = tuple(name for name, task in TASKS.items() if task.data.startswith("voc"))


def is_fastest(instructions: Instructions) -> bool:
    """Whether instructions are left out of what is written, so that results of versions without this setting stay current."""
    return instructions == "fastest"


def _plain_layers(layers: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The layers of a net of the user's own, each in its shortest form."""
    return tuple(
        layer.channels if isinstance(layer, Conv) and layer.size == 3 else written(layer)
        for layer in layers_of("", layers)
    )


NetLayers = Annotated[tuple[int | str, ...], Field(min_length=1), AfterValidator(_plain_layers)]
"""A net of the user's own, as `vggrepro.paper.nets` writes those of Table 1."""


class DataSettings(FrozenModel):
    """The data set, and how many of its images."""

    layout: Annotated[Literal["ilsvrc", "tiny-imagenet", "stand-in"], DEPARTURE]
    """How the images lie on disk; the `stand-in` is drawn by the program."""
    path: Annotated[ExistingData | None, HARMLESS] = None
    """Folder or archive of the data set; the stand-in needs none. `ilsvrc=PATH` and `tiny_imagenet=PATH` set it."""
    encoding: Annotated[Literal["pixels", "files"], HARMLESS] = "pixels"
    """What the prepared store keeps of an image: its decoded pixels, or its original file (a tenth of the bytes)."""
    rescaled: Annotated[Literal["no", "pixels", "jpeg"], Effect("departure", same=("no", "pixels"))] = "no"
    """Keep the training images of runs with a fixed S in a store of their own, rescaled to S: as pixels, which equal those of
    the originals after rescaling (ILSVRC at S = 256: 0.3 TB), or as JPEG, which is smaller and not exact. `vggrepro rescale
    --dry-run` prints the bytes. Jittered runs read the originals."""
    classes: Annotated[Annotated[int, Field(ge=6)] | None, DEPARTURE] = None
    """Use the first so many classes in WNID order; all if not set. Six at least: of five, all are among the best five."""
    train_per_class: Annotated[PositiveInteger | None, DEPARTURE] = None
    """Use the first so many training images of each class; all if not set."""
    val_per_class: Annotated[PositiveInteger | None, DEPARTURE] = None
    """Use the first so many validation images of each class; all if not set."""


class NetSettings(FrozenModel):
    """The size of the nets. The layer lists are Table 1's for every preset."""

    scale_unit: Annotated[Literal[4, 8, 16, 32], DEPARTURE] = 32
    """Pixels that stand for 32 px of the paper, and the stride of the net: with 8, the crop of 224 px has 56 px, and S = 256
    is the 64 px of Tiny ImageNet. A net of stride 8 has the first three of the five poolings, one of stride 4 two."""
    width: Annotated[int, Field(ge=1, le=64), DEPARTURE] = 64
    """Channels of the first convolution; the other layers keep the paper's proportions to it."""
    fc: Annotated[PositiveInteger, DEPARTURE] = 4096
    """Units of the first two fully connected layers."""
    pooling: Annotated[Literal["floor", "ceil"], choice(3)] = "floor"
    """CHOICE 3: half of an odd side is rounded down (PyTorch) or up (Caffe); they differ in dense evaluation only."""
    dropout: Annotated[Share, DEPARTURE] = 0.5
    """PAPER 3.1: dropout on the first two fully connected layers."""
    layers: Annotated[NetLayers | None, Field(exclude_if=lambda layers: layers is None), DEPARTURE] = None
    """Layers of a variant's own net in place of Table 1's: `net` of a variant sets them, and nothing else does."""

    @property
    def as_built(self) -> NetSettings:
        """The same with the sizes that a net of the user's own has in place of the paper's.

        Where it averages over a window, the features that are averaged stand for the units of the fully connected layers.
        """
        if self.layers is None:
            return self
        convolutions = [layer for layer in layers_of("", self.layers) if isinstance(layer, Conv)]
        first, last = (scaled_width(each.channels, self.width) for each in (convolutions[0], convolutions[-1]))
        of_average = {"fc": last, "dropout": 0.0} if averages(self.layers) else {}
        return self.model_copy(update={"width": first, **of_average})

    @property
    def crop(self) -> int:
        """Side of the training crop in pixels: the paper's 224."""
        return 7 * self.scale_unit

    def pixels(self, scale: int) -> int:
        """The paper's scale (S or Q) in this preset's pixels."""
        return round(scale * self.scale_unit / 32)


class TrainSettings(FrozenModel):
    """One training. The defaults are the paper's (section 3.1). Its scale S is no setting: it belongs to the run."""

    batch: Annotated[PositiveInteger, DEPARTURE] = 256
    """Images per step, over all processes."""
    epochs: Annotated[PositiveInteger, DEPARTURE] = 74
    """PAPER 3.1: 370K iterations = 74 epochs, however often the rate has dropped."""
    learning_rate: Annotated[PositiveNumber, DEPARTURE] = 0.01
    """Initial learning rate."""
    momentum: Annotated[Share, DEPARTURE] = 0.9
    """Momentum of SGD."""
    weight_decay: Annotated[float, Field(ge=0), DEPARTURE] = 5e-4
    """Multiplier of the L2 penalty, on weights and biases."""
    drops: Annotated[NaturalNumber, DEPARTURE] = 3
    """PAPER 3.1: how often the learning rate is divided by 10, at most: fewer times where accuracy goes on improving."""
    patience: Annotated[PositiveInteger, choice(16, plausible={"from": 3, "to": 20})] = 5
    """CHOICE 16: epochs without a better validation accuracy after which the rate drops. The paper: "stopped improving".
    Fewer than three would let the noise of one measurement drop it; after more than 20, three drops hardly fit in 74."""
    stuck_epochs: Annotated[PositiveInteger, HARMLESS] = 10
    """Epochs with a loss of ln(classes), that of guessing, after which training stops with advice. It decides no weight: a
    training goes on, or is kept, under another value."""
    drop_epochs: Annotated[tuple[PositiveInteger, ...] | None, DEPARTURE] = None
    """PAPER 3.1: not set, because validation accuracy steers the rate. A fixed schedule instead of `patience`: the rate drops
    after these epochs. A finished run records its drops, so that it can be repeated without validation images. It is of the
    runs at S = 256 alone: later stages have their own (`finetune.drop_epochs`, `localise.drop_epochs`)."""
    init: Annotated[Literal["normal-0.01", "normal-0.1", "glorot", "he"], choice(1)] = "normal-0.01"
    """CHOICE 1: random weights: normal with standard deviation 0.01, or 0.1 (the printed variance of 10^-2), or scaled by
    fan-in and fan-out (Glorot) or fan-in (He)."""
    colour_std: Annotated[float, Field(ge=0), DEPARTURE] = 0.1
    """Standard deviation of the colour shift along the principal components of RGB (Krizhevsky)."""
    flip: Annotated[bool, DEPARTURE] = True
    """Random horizontal flip."""
    on_device: Annotated[bool, choice(6)] = False
    """CHOICE 6: keep the training images in the device's memory and cut crops there, for small images of one size that are
    never reduced. A pixel differs by at most one level from that of the usual way."""
    precision: Annotated[Literal["fp32", "tf32", "bf16"], choice(15)] = "fp32"
    """CHOICE 15: arithmetic of the forward and backward pass; weights and updates are always fp32. tf32 has a mantissa of 10
    bits, and is faster on GPUs from 2020 on."""
    compile: Annotated[bool, HARMLESS] = False
    """Compile the net with torch, which takes a minute or two and fuses pointwise operations on a GPU. The order of arithmetic
    changes, so that losses differ by rounding."""


class FinetuneSettings(FrozenModel):
    """What differs in the runs at any S but 256, such as 384 and [256;512], each initialised from a run of its net."""

    epochs: Annotated[PositiveInteger | None, choice(7, plausible=STAGE_EPOCHS)] = None
    """CHOICE 7: the paper gives no length; not set: as many as from scratch."""
    learning_rate: Annotated[
        PositiveNumber, Effect("departure", 7, silent_at=("jitter",), plausible={"from": 1e-4, "to": 1e-2})
    ] = 1e-3
    """PAPER 3.1: 10^-3 at S = 384. CHOICE 7: the same for S in [256;512], which the paper does not specify."""
    drops: Annotated[NaturalNumber | None, choice(7, plausible=DROPS)] = None
    """CHOICE 7: drops of the learning rate; not set: as from scratch."""
    drop_epochs: Annotated[tuple[PositiveInteger, ...] | None, choice(7, plausible=FIRST_DROP)] = None
    """CHOICE 7: a fixed schedule for these runs; not set: validation accuracy steers the rate."""


class LocaliseSettings(FrozenModel):
    """What differs in the runs that predict boxes, initialised from the classification net of their scale (appendix A)."""

    epochs: Annotated[PositiveInteger | None, choice(9, plausible=STAGE_EPOCHS)] = None
    """CHOICE 9: the paper gives no length; not set: as many as from scratch."""
    learning_rate: Annotated[PositiveNumber, DEPARTURE] = 1e-3
    """PAPER A.1: 10^-3."""
    drops: Annotated[NaturalNumber | None, choice(9, plausible=DROPS)] = None
    """CHOICE 9: drops of the learning rate; not set: as from scratch. The rate drops when the error of the true class's box,
    on a centre crop, stops improving."""
    drop_epochs: Annotated[tuple[PositiveInteger, ...] | None, choice(9, plausible=FIRST_DROP)] = None
    """CHOICE 9: a fixed schedule for these runs; not set: validation error steers the rate."""


class BoxTargets(FrozenModel):
    """The targets of a net that predicts boxes (appendix A)."""

    target: Annotated[Literal["largest", "random"], choice(9)] = "largest"
    """CHOICE 9: of several true boxes, the target is the largest, or a random one in every epoch."""
    min_inside: Annotated[float, Field(ge=0, le=1), choice(9, plausible={"from": 0, "to": 0.5})] = 0.0
    """CHOICE 9: share of the target that must lie in the crop for it to count in the loss. At 0 every crop counts, even one
    that shows nothing of the target. OverFeat required half."""


class MergeSettings(FrozenModel):
    """How the boxes of all locations, scales and nets are merged into one per label (appendix A, after OverFeat)."""

    match: Annotated[Literal["distance+overlap", "distance", "overlap"], choice(9)] = "distance+overlap"
    """CHOICE 9: match score of two boxes, where smaller is better: the distance of their centres over the root of their mean
    area, 1 - IoU, or the sum of the two. OverFeat adds the intersection, with which overlapping boxes would match worse."""
    threshold: Annotated[PositiveNumber, choice(9, plausible={"from": 0.2, "to": 1.5})] = 0.83
    """CHOICE 9: the two boxes that match best are merged until their match score exceeds this. 5/6 is the score of two equal
    boxes, one shifted along a side, with an IoU of one half: each would count as right for the other. Near 0 nothing
    is merged; far above 1, boxes that hardly overlap are."""
    top_k: Annotated[PositiveInteger | None, choice(9, plausible={"from": 1, "to": 1000})] = None
    """CHOICE 9: merge only the boxes of the so many locations with the label's highest scores, at each scale; all if not set.
    (OverFeat's k counts classes; here the five labels are those of the classification system.)"""
    average: Annotated[Literal["pairs", "members", "scores"], choice(9)] = "pairs"
    """CHOICE 9: two boxes are replaced by the mean of their coordinates, unweighted (as OverFeat says), weighted by the
    numbers of boxes that were merged into them, or weighted by their scores."""


class TransferSettings(FrozenModel):
    """The data sets of transfer, their features and SVMs (appendix B). A data set that is not given is not run."""

    voc2007: Annotated[ExistingData | None, HARMLESS] = None
    """Folder or zip of PASCAL VOC-2007, its test part included. `voc2007=PATH` sets it."""
    voc2012: Annotated[ExistingData | None, HARMLESS] = None
    """Folder or zip of PASCAL VOC-2012, also for Table 12. `voc2012=PATH` sets it."""
    caltech101: Annotated[ExistingData | None, HARMLESS] = None
    """Folder or zip of Caltech-101. `caltech101=PATH` sets it."""
    caltech256: Annotated[ExistingData | None, HARMLESS] = None
    """Folder or zip of Caltech-256. `caltech256=PATH` sets it."""
    stand_in: Annotated[bool, DEPARTURE] = False
    """Draw small data sets, in the same layouts, for those that are not given."""
    normalise: Annotated[Literal["after", "before"], choice(10)] = "after"
    """CHOICE 10: an image's features are scaled to unit length after those of several Q are combined, or also before that."""
    C: Annotated[tuple[PositiveNumber, ...], Field(min_length=1), choice(10, plausible={"from": 0.001, "to": 1000})] = (
        0.1,
        0.3,
        1.0,
        3.0,
        10.0,
    )
    """CHOICE 10: costs of the SVM, of which held-out training images choose one."""
    held_out: Annotated[
        float, Field(gt=0, lt=1), Effect("departure", 10, silent_at=VOC_TASKS, plausible={"from": 0.1, "to": 0.5})
    ] = 0.2
    """PAPER B: share of the training images of a class on which C is chosen, for Caltech. CHOICE 10: the same for VOC-2012,
    which the paper does not specify; in VOC-2007 it is the part called val."""
    ap_2007: Annotated[Literal["11-point", "area"], choice(10)] = "11-point"
    """CHOICE 10: average precision on VOC-2007: of 11 points, as VOC computed it that year, or the area, as from 2010 on."""
    splits: Annotated[PositiveInteger, DEPARTURE] = 3
    """PAPER B: number of random splits of Caltech."""
    caltech101_train: Annotated[PositiveInteger, DEPARTURE] = 30
    """PAPER B: training images of a class of Caltech-101."""
    caltech101_test: Annotated[PositiveInteger, DEPARTURE] = 50
    """PAPER B: largest number of test images of a class of Caltech-101."""
    caltech256_train: Annotated[PositiveInteger, DEPARTURE] = 60
    """PAPER B: training images of a class of Caltech-256; the others are test images."""

    instructions: Annotated[Instructions, HARMLESS] = Field(default="fastest", exclude_if=is_fastest)
    """CPU instructions of the SVMs; not set: those of all settings."""

    @property
    def paths(self) -> dict[str, str | None]:
        """Paths of the data sets by name; None for those that are not given."""
        return {name: getattr(self, name) for name in TRANSFER_SETS}

    def given(self, name: str) -> bool:
        """Whether a data set is given, or a stand-in is drawn for it."""
        return self.stand_in or self.paths[name] is not None


class ImportSettings(FrozenModel):
    """Somebody else's system: its scores or labels of the validation images."""

    file: ExistingFile
    """A row per image, with a number per class or up to five labels: .npy, .npz, .csv, .tsv, .parquet or .json; or .txt,
    ILSVRC's official format, up to five `label xmin ymin xmax ymax`, or up to five labels, in validation order with devkit
    ids."""
    order: Literal["validation", "folders"] | ExistingFile | None = None
    """Order of rows without ids: `validation`, by image number; `folders`, by class and file name, as in torchvision; or a
    text file that lists all images in the order of the rows."""
    ids: NonEmptyText | None = None
    """The column or array with the images' ids, where several could have them."""
    classes: Literal["wnid", "sorted", "sorted-from-1", "sorted-as-text", "devkit"] | None = None
    """Meaning of a column or a label: a WNID; the index among the sorted WNIDs, from 0 or from 1 (1,001 columns of TensorFlow,
    with background, count from 1 too); that index where numbers were sorted as text (0, 1, 10, ...); or the devkit's id, from
    1. Not set: WNIDs where the file has them, devkit ids in a .txt, else indices from 0."""
    logits: bool = False
    """Whether the numbers are scores before the soft-max."""
    elsewhere: Annotated[dict[str, ExistingFile], Field(default_factory=dict)]
    """Files of the same system for the images of `validation`, by name: `elsewhere: {V2: FILE}`. They are read as `file` is;
    rows without ids are in the order `folders`: by class number and file name."""
    scores: ExistingFile | None = None
    """A file with the scores of the labels, in the order of the file's rows, by which lists are sorted best first."""
    accept: tuple[Literal["chance", "order"], ...] = ()
    """What would be refused: an error near chance, or lists that do not seem to be best first (in another order)."""


class ReadingSettings(FrozenModel):
    """Conventions of a released net's file. A convention that is not set is the usual one of the file's format."""

    channels: Literal["rgb", "bgr"] | None = None
    """Order of the colours in the first layer's input: BGR in Caffe."""
    input: Literal["caffe", "torchvision"] | None = None
    """Pixels of 0-255 minus their mean (Caffe), or of 0-1 minus a mean and divided by a standard deviation (torchvision)."""
    classes: Literal["sorted", "devkit"] | None = None
    """Order of the outputs: the sorted WNIDs, or the devkit's ids. A file with WNIDs needs no setting."""
    full: Literal["chw", "hwc"] | None = None
    """Order of the first fully connected layer's inputs: channel by channel (chw), or position by position (hwc)."""
    kernels: Literal["hw", "wh"] | None = None
    """Order of a kernel's sides: height first, or width first."""
    mean: Annotated[tuple[float, float, float] | None, Field(strict=False)] = None
    """Mean RGB, 0-255, where it is neither in the file nor the authors' (Caffe) nor torchvision's."""


class ReleaseSettings(ReadingSettings):
    """A released net; `{D: FILE}` is short for `{D: {file: FILE}}`."""

    file: ExistingFile
    """Caffe's .caffemodel, MatConvNet's .mat, or PyTorch's .pth or .safetensors in torchvision's layout."""
    recipe: Literal["torchvision", "mmpretrain"] | None = None
    """How the net was trained, an entry of `tables/releases.yaml`, where it is not known by the digest of its file: for a file
    that was saved anew, in half precision or in another format."""

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, value: Any) -> Any:  # noqa: ANN401
        return value if isinstance(value, dict) else {"file": value}

    @property
    def reading(self) -> ReadingSettings:
        """The conventions, without the file."""
        return ReadingSettings(**self.model_dump(exclude={"file", "recipe"}))


class DownloadSettings(FrozenModel):
    """Where what is fetched lies, and how it comes here."""

    folder: Annotated[FolderToWrite, HARMLESS] = "downloads"
    """A folder in it for each entry of `tables/downloads.yaml` that is fetched. Several projects may share it."""
    mirror: Annotated[NonEmptyText | None, HARMLESS] = None
    """An address below which the files lie under their own names, in place of those in `tables/downloads.yaml`."""
    proxy: Annotated[NonEmptyText | None, HARMLESS] = None
    """Address of a proxy. Not set: what the variables HTTP_PROXY, HTTPS_PROXY and NO_PROXY say."""


class DevkitSettings(FrozenModel):
    """ILSVRC's own files: true labels and boxes of the validation images, and its numbers of classes."""

    folder: ExistingData
    """ILSVRC's devkit, of 2012 or 2014: its folder or its archive. Boxes need the blacklist, which that of 2014 has."""
    solution: ExistingFile | None = None
    """LOC_val_solution.csv: the true boxes of the validation images, by which imported boxes are judged."""


class EvaluateSettings(FrozenModel):
    """The evaluations (section 3.2)."""

    average: Annotated[Literal["scores", "posteriors"], choice(4)] = "scores"
    """CHOICE 4: dense evaluation averages class scores over space before the soft-max, or posteriors after it."""
    crop_grid: Annotated[Literal["whole", "square"], choice(5)] = "whole"
    """CHOICE 5: the 5x5 grid of crops spans the whole image, or its central square."""
    batch_pixels: Annotated[PositiveInteger, HARMLESS] = 20_000_000
    """Largest number of pixels in a batch; images of equal shape are evaluated together. On a CPU a million at most."""
    precision: Annotated[Literal["fp32", "tf32", "bf16"], choice(15, plausible={"one_of": ["fp32", "tf32"]})] = "fp32"
    """CHOICE 15: arithmetic of the forward pass; posteriors are always computed and stored in fp32. Emulated, on six
    images and with random weights, tf32 moves posteriors of net D by at most 0.004, bf16 by 0.03, and labels change: bf16
    departs. A CPU without bf16 instructions emulates it, several times slower than fp32."""
    cpu_kernels: Annotated[bool, HARMLESS] = Field(default=True, exclude_if=bool)
    """In fp32 on a CPU, compute wide 3x3 convolutions by Winograd's filtering, which is faster and the same within rounding.
    False: by torch alone, but in validation during training. Recorded only where it is false, so that results of versions
    without this setting stay current."""
    instructions: Annotated[Instructions, HARMLESS] = Field(default="fastest", exclude_if=is_fastest)
    """CPU instructions of the evaluations; not set: those of all settings."""
