"""The choices where the paper is unspecified, and the settings that depart from the paper. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel

from vggrepro.settings.effects import effects
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings

CHOICES = {
    1: "Initial standard deviation",
    2: "Local response normalisation",
    3: "Rounding of pooled sizes",
    4: "Order of soft-max and spatial mean in dense evaluation",
    5: "Grid of the 5x5 crops",
    6: "Distribution of S, and the filter that rescales",
    7: "Length and learning rate of the S = 384 and jitter stages",
    8: 'The shallow net\'s error "7% higher"',
    9: "Localisation: frame, target, loss, merging",
    10: "Transfer: features, SVMs, average precision",
    11: "Layers that are initialised from A",
    12: "Validation images steer the learning rate",
    13: "Weight decay of biases",
    14: "What the shallow net B-5x5 begins with",
    15: "Precision of arithmetic",
    16: "Plateau rule, and the end of training",
    17: "Scale of the colour shift",
    18: "Form of momentum",
    19: "Poolings of nets smaller than the paper's",
}
"""Numbers and titles of the choices; the code, the settings and the report cite these numbers."""

FIXED_CHOICES = [
    ("normalisation", "alpha = 1e-4 per channel, k = 2", "2: Krizhevsky's formula: alpha is not divided by n."),
    ("distribution of S", "uniform over the integers", "6: in pixels of the preset, both ends included."),
    ("interpolation", "PIL's antialiased bilinear", "6: in training and in testing."),
    (
        "what A lends",
        "layers of the same name",
        "11: conv1_1, conv2_1, conv3_1, conv3_2, and the three FC layers.",
    ),
    (
        "what B-5x5 begins with",
        "A's weights, as the others",
        "14: the paper initialises the deeper nets from A and says nothing of the shallow one. B-5x5 has no conv3_2; its 5x5 "
        "kernels get A's as their middle, with zeros around: the same function.",
    ),
    (
        "what steers the rate",
        "top-1 error, centre crop",
        "12: on validation images, at Q = S or the middle of its range.",
    ),
    ("weight decay", "of weights and biases alike", "13: Caffe has a factor per blob, which the paper does not print."),
    (
        "end of training",
        "after all epochs",
        "16: 74 epochs are what the paper reports; training goes on to them after the last drop, and also where the plateau "
        "rule gives fewer than three.",
    ),
    (
        "colour shift",
        "PCA of RGB in [0, 1]",
        "17: the eigenvalues are variances in that scale, as in the constants in common use; every pixel of the training set "
        "counts the same.",
    ),
    (
        "momentum",
        "torch's SGD",
        "18: the rate multiplies the velocity; in Caffe it enters it: no difference but where it drops.",
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
        "9: from the paper's classification net of that S, at the same Q, for variants too; a merged box has the sum of its "
        "members'.",
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
        "images that choose C on VOC",
        "VOC-2007: its part val",
        "10: of VOC-2012 and actions a share of the part train (`transfer.held_out`, the paper's of Caltech), because val is "
        "measured; the share is taken of every class.",
    ),
    (
        "SVM",
        "LIBLINEAR, squared hinge",
        "10: one class against the rest, the bias regularised as a weight; one C for all, the best on held-out images.",
    ),
    (
        "poolings of small nets",
        "the first 3 of 5 at scale unit 8",
        "19: so that a crop ends as 7x7 features, as in the paper.",
    ),
]
"""Choices without a setting: (what is unspecified, choice, its number in `CHOICES` with details)."""


def list_choices(settings: Settings) -> list[tuple[str, str, str]]:
    """(key, value, decision) of every setting whose description says CHOICE: the paper is unspecified, if only in part."""
    choices = ((key, value, text.partition("CHOICE ")[2]) for key, value, text in described(settings))
    return [(key, value, text) for key, value, text in choices if text]


class Choice(NamedTuple):
    """A choice where the paper is unspecified."""

    name: str
    """The key of a setting, or the name of a fixed choice."""
    value: str
    meaning: str
    fixed: bool


def choices_by_number(settings: Settings) -> dict[int, list[Choice]]:
    """What is chosen for each number of `CHOICES` under some settings: settings first, then fixed choices."""
    by_number: dict[int, list[Choice]] = {number: [] for number in CHOICES}
    listed = [(entry, False) for entry in list_choices(settings)] + [(entry, True) for entry in FIXED_CHOICES]
    for (name, value, text), fixed in listed:
        number, _, meaning = text.partition(":")
        by_number[int(number)].append(Choice(name, value, meaning.strip(), fixed))
    return by_number


def departures(settings: Settings) -> list[tuple[str, str, str]]:
    """(key, value, value in the paper preset) of every setting by which numbers depart from the paper's protocol."""
    declared, paper = dict(effects(Settings)), dict(setting_values(load_settings({})))
    return [
        (key, _text(value), _text(paper[key]))
        for key, value in setting_values(settings)
        if key in declared and declared[key].departs(value, paper[key])
    ]


def harmless_differences(settings: Settings) -> list[tuple[str, str, str]]:
    """The same of settings that are harmless: no result depends on them beyond rounding and chance."""
    declared, paper = dict(effects(Settings)), defaults()
    return [
        (key, value, paper[key])
        for key, value, _ in described(settings)
        if key in declared and declared[key].kind == "harmless" and value != paper[key]
    ]


def defaults() -> dict[str, str]:
    """The value of every setting in the paper preset, by its key."""
    return {key: value for key, value, _ in described(load_settings({}))}


def setting_values(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(key, value) of every setting; keys of blocks have dots, such as `train.batch`."""
    for name, value in model:
        if isinstance(value, BaseModel):
            yield from setting_values(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def described(model: BaseModel, prefix: str = "") -> list[tuple[str, str, str]]:
    """(key, value, description) of every setting; keys of blocks have dots, such as `train.batch`."""
    rows = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            rows += described(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, _text(value), " ".join((field.description or "").split())))
    return rows


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "not set" if value is None else str(value)
