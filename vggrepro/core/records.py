"""The records that lie beside results, with the types of their keys: what is read back is held against these first. No torch.

A record may lack a key that its reader does not ask for, because an older version wrote it, and may hold others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from annotated_types import Gt, Len, MinLen
from pydantic import TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from vggrepro.core.files import checked, read_json
from vggrepro.core.validation import first_problems


class Provenance(TypedDict):
    """What produced a result: see `core/provenance.py`."""

    commit: str
    versions: dict[str, str]
    processor: str
    at: str
    instructions: NotRequired[str]


class FeaturesOfANet(TypedDict):
    """The features that SVMs were trained on, in the record of their result."""

    run: str
    name: str
    weights: str
    scales: list[int]


ResultRecord = TypedDict(
    "ResultRecord",
    {
        "run": str,
        "name": str,
        "weights": str,
        "protocol": str,
        "Q": int,
        "scales": list[int],
        "data": str | None,  # none of scores that were imported by the devkit, without prepared images
        "data set": str,
        "collection": str,
        "images": int,
        # the number of classes, or of SVMs their names
        "classes": int | list[str],
        "device": str,
        "seconds": float,
        "settings": dict[str, Any],
        "record": dict[str, Any],
        "made": Provenance,
        # of boxes, and of labels for them
        "answers": str,
        "classifier": str | None,
        "system": list[str],
        "labelled by": dict[str, str],  # by path of scores, the digest of their weights
        # of SVMs
        "task": str,
        "nets": list[str],
        "counted": list[str],
        "measure": str,
        "part": str,
        "C": list[float],
        "C from": list[float],
        "features": list[FeaturesOfANet],
        "submission": bool,
        # of an imported system
        "file": str,
        "digest": str,
        "as": dict[str, Any],
    },
    total=False,
)
"""`made.json`: what made scores, boxes, labels, features, or a result of SVMs."""


class ColourRecord(TypedDict):
    """What PCA found in the colours of a training set: see `data/store.py`."""

    mean: list[float]
    eigenvalues: list[float]
    eigenvectors: list[list[float]]


StoreRecord = TypedDict(
    "StoreRecord",
    {
        "wnids": list[str],
        "images": int,
        "encoding": str,
        "blacklisted": list[str],
        "digest": str,
        "data set": str,
        "words": dict[str, str],
        "smallest": int | None,
        "colours": ColourRecord | None,
    },
    total=False,
)
"""`store.json` of a prepared split."""


class NetReading(TypedDict):
    """How the numbers of a released net were read."""

    channels: str
    input: str
    classes: str
    full: str
    kernels: str
    mean: list[float]


NetCheck = TypedDict("NetCheck", {"top-1 errors": int, "images": Annotated[int, Gt(0)]})
"""What a released net did on images."""


DataOfAReleasedNet = TypedDict("DataOfAReleasedNet", {"val": str, "data set": str})


ReleasedRecord = TypedDict(
    "ReleasedRecord",
    {
        "run": str,
        "file": str,
        "digest": str,
        "format": str,
        "trained by": Literal["the authors", "torchvision", "mmpretrain", "others"],
        "reading": NetReading,
        "checked": NetCheck,
        "data": DataOfAReleasedNet,
        "weights": str,
        "made": Provenance,
        "numbers": str,
        "S": list[int],
    },
    total=False,
)
"""`adopted.json`: a released net that stands for a run; `S` has the ends of its training scales, if they are known."""

ADDED_LATER = ("numbers", "S")
"""Keys that an older `adopted.json` does not have."""


class InitialWeights(TypedDict):
    """The run that another is initialised from, in `run.json`."""

    run: str
    weights: str


class Attempt(TypedDict):
    """A start of a training, in `run.json`."""

    seconds: float
    processes: int
    pieces: int
    device: str
    peak_bytes: float
    joules: float | None
    began: str


class FirstStep(TypedDict):
    """A step in numbers: see `training/first_steps.py`."""

    loss: float
    norms: dict[str, Annotated[list[float], Len(3, 3)]]


DataOfATraining = TypedDict("DataOfATraining", {"train": str, "val": str, "data set": NotRequired[str]})


class TrainingRecord(TypedDict, total=False):
    """`run.json`: what made the weights of a run."""

    run: str
    settings: dict[str, dict[str, Any] | Any]
    parent: InitialWeights | None
    data: DataOfATraining
    initialised: list[str]
    drops: list[int]
    epochs: int
    iterations: int
    seconds: float
    attempts: Annotated[list[Attempt], MinLen(1)]
    device: str
    weights: str
    record: dict[str, Any]
    first_steps: list[FirstStep]
    made: Provenance


WEIGHTS_RECORDS: dict[str, Any] = {"run.json": TrainingRecord, "adopted.json": ReleasedRecord}
"""By file name: what lies beside the weights of a run that was trained here, or by others."""


@with_config(extra="forbid")
class ScheduleRecord(TypedDict):
    """How far the learning rate has come, in a checkpoint."""

    drops: list[int]
    best: float
    waited: int
    finished: bool


@with_config(extra="forbid")
class EpochRecord(TypedDict):
    """How much of an epoch is done, in a checkpoint."""

    epoch: int
    batches: int
    seen: int
    seconds: float
    sums: Annotated[list[float], Len(3, 3)]


class ProgressRecord(TypedDict):
    """How far a training has come: what its checkpoint holds beside weights and momentum."""

    iteration: int
    schedule: ScheduleRecord
    part: EpochRecord
    rows: list[dict[str, float]]
    attempts: list[Attempt]
    # a checkpoint of an earlier version has none
    first_steps: NotRequired[list[FirstStep]]


class CheckpointRecord(TypedDict):
    """`state.json` of a checkpoint: the training that wrote it, and how far it had come, which its reader checks."""

    identity: dict[str, Any]
    about: dict[str, Any]


def typed_record(
    path: Path,
    keys: tuple[str, ...] = (),
    *,
    kind: Any = ResultRecord,  # noqa: ANN401
    again: str = "make it again",
) -> dict[str, Any]:
    """The record in a JSON file of ours: a `kind`, which has all of `keys`.

    Raises ValueError that names the file where it is missing, damaged, lacks a key, or holds a value of another type.
    """
    value: dict[str, Any] = read_json(path, keys, again)
    with checked(path, again):
        check_types(kind, value)
    return value


def read_released(path: Path) -> dict[str, Any]:
    """The `adopted.json` of a released net; a ValueError as of `typed_record`."""
    keys = tuple(key for key in ReleasedRecord.__annotations__ if key not in ADDED_LATER)
    return typed_record(path, keys, kind=ReleasedRecord, again="adopt it again")


def check_types(kind: Any, value: Any) -> None:  # noqa: ANN401
    """A ValueError with the keys and what was expected, unless a value read from JSON is of a kind."""
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        raise ValueError(first_problems(error)) from None
