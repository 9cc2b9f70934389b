"""What a training minimises, and the error that steers its learning rate: classes (section 3.1) or boxes (appendix A)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vggrepro.data.boxes import OVERLAP, clip
from vggrepro.data.store import Store
from vggrepro.evaluation import evaluate
from vggrepro.localisation.errors import missed_images
from vggrepro.localisation.prediction import predict_boxes
from vggrepro.nets.inference import ready_for_inference
from vggrepro.nets.vgg import VGG
from vggrepro.paper.runs import Run
from vggrepro.scores.ranks import TOP, true_class_ranks, wrong_images
from vggrepro.settings.blocks import EvaluateSettings
from vggrepro.training.loader import Batch

Mean = tuple[float, float, float]
Wrong = dict[str, NDArray[np.bool_]]
"""[N]: which images are wrong, by the name of the error."""


class Loss(NamedTuple):
    """The loss of a batch, or of a part of one."""

    sum: Tensor
    """Over the images that count, with its gradient."""
    wrong: Tensor
    """How many of these images are wrong."""
    counted: Tensor
    """How many images count."""

    @property
    def mean(self) -> Tensor:
        """The loss per image that counts; 0 where none does."""
        return self.sum / self.counted.clamp(min=1)


@dataclass(frozen=True)
class Objective:
    """A loss, and how a net in training is validated."""

    error: str
    """The name of its error in metrics: `train_<error>`, `val_<error>`."""
    loss: Callable[[Tensor, Batch], Loss]
    """The loss of outputs [B, outputs], float32."""
    validate: Callable[..., Wrong]
    """Which validation images are wrong; the mean of `val_<error>` steers the learning rate. CHOICE 12: on a centre crop."""


def objective_of(run: Run) -> Objective:
    """The objective of a run."""
    return BOX_LOSS if run.localises else CLASSIFICATION_LOSS


def class_loss(outputs: Tensor, batch: Batch) -> Loss:
    """PAPER 3.1: multinomial logistic regression."""
    wrong = (outputs.detach().argmax(1) != batch.labels).sum()
    loss = F.cross_entropy(outputs, batch.labels, reduction="sum")
    return Loss(loss, wrong, torch.full((), len(batch.labels), device=outputs.device))


def box_loss(outputs: Tensor, batch: Batch) -> Loss:
    """PAPER A.1: half the squared distance of the predicted from the true box vector, of the boxes that count.

    PCR: only the true class's box counts; the other outputs are not moved. A box is wrong if its IoU with the target is
    below 0.5.
    """
    vectors = outputs.reshape(len(outputs), -1, 4)
    predicted = (
        vectors[:, 0]
        if vectors.shape[1] == 1
        else vectors[torch.arange(len(vectors), device=outputs.device), batch.labels]
    )
    counts = ~batch.targets.isnan().any(1)
    targets = torch.where(counts[:, None], batch.targets, 0)
    distance = torch.where(counts[:, None], predicted - targets, 0)
    wrong = counts & (vector_iou(predicted.detach(), targets) < OVERLAP)
    return Loss(distance.square().sum() / 2, wrong.sum(), counts.sum())


def vector_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of box vectors [..., 4]; sides below 0 count as 0."""
    middle_a, middle_b, sides_a, sides_b = a[..., :2], b[..., :2], a[..., 2:].clamp(min=0), b[..., 2:].clamp(min=0)
    high = torch.minimum(middle_a + sides_a / 2, middle_b + sides_b / 2)
    low = torch.maximum(middle_a - sides_a / 2, middle_b - sides_b / 2)
    shared = (high - low).clamp(min=0).prod(-1)
    return shared / (sides_a.prod(-1) + sides_b.prod(-1) - shared).clamp(min=1e-12)


def _validate_classes(net: VGG, val: Store, mean: Mean, Q: int, settings: EvaluateSettings, **options: Any) -> Wrong:  # noqa: ANN401
    """Top-1 and top-5 errors."""
    net = ready_for_inference(net, settings)
    posteriors = evaluate.compute_posteriors(net, val, mean, "centre-crop", (Q,), settings=settings, **options)[Q]
    ranks = true_class_ranks(posteriors, val.labels)
    return {f"val_{name.replace('-', '')}": wrong_images(ranks, name) for name in TOP}


def _validate_boxes(net: VGG, val: Store, mean: Mean, Q: int, settings: EvaluateSettings, **options: Any) -> Wrong:  # noqa: ANN401
    """The error of Table 8: of the true class's box."""
    labels, net = val.labels[:, None], ready_for_inference(net, settings)
    boxes = predict_boxes(
        net,
        val,
        classifier=None,
        labels=labels,
        mean=mean,
        protocol="centre-crop",
        scales=(Q,),
        settings=settings,
        **options,
    )[Q]
    # one location, one label: [N, 1, 4] as it is
    clipped = clip(boxes.boxes, val.sizes[:, None])
    return {"val_localisation": missed_images(boxes, clipped)}


CLASSIFICATION_LOSS = Objective("top1", class_loss, _validate_classes)
BOX_LOSS = Objective("localisation", box_loss, _validate_boxes)
