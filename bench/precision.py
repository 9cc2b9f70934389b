"""What a shorter mantissa does to posteriors: tf32 and bf16 beside fp32, emulated, so that no GPU is needed.

    python bench/precision.py IMAGES.zip RESULTS [--images 6] [--small 200]   a zip of JPEGs, and a smoke run (results/smoke)

Every operand of every convolution and linear layer is rounded to the mantissa of the format (tf32: 10 bits, bf16: 7), and sums
are kept in fp32, as a tensor core keeps them. In bf16 results are rounded too, as autocast stores them.

- Net D at full size on real images, dense at Q = 256. Its weights are random (He), because no trained ones are at hand; its
  last layer is scaled and centred so that posteriors are as sharp as a trained net's, and differ between images.
- The smoke run's nets on its validation images, dense at Q = S: trained weights, at the widths of the preset.

What a short mantissa does to a training is not measured. Writes `bench/results/precision.json`, again after every net.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from evaluation import CORES, MEAN, net_d, store_of
from harness import MADE, RESULTS, pin
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vggrepro.core.files import write_json
from vggrepro.data.store import Store
from vggrepro.evaluation.evaluate import compute_posteriors, load_run_weights
from vggrepro.nets.vgg import VGG
from vggrepro.paper.runs import Run

Rounding = Callable[[Tensor], Tensor]
SHARPNESS = 0.6
"""The mean of the largest posterior of the full-size net: about that of trained nets, which are wrong on a quarter."""


def to_tf32(x: Tensor) -> Tensor:
    """fp32 rounded to the nearest value with a mantissa of 10 bits; ties go to the even one."""
    bits = x.contiguous().view(torch.int32)
    return ((bits + 0xFFF + ((bits >> 13) & 1)) & ~0x1FFF).view(torch.float32)


def to_bf16(x: Tensor) -> Tensor:
    """fp32 rounded to bf16."""
    return x.bfloat16().float()


def unchanged(x: Tensor) -> Tensor:
    """fp32 as it is."""
    return x


ARITHMETIC: dict[str, tuple[Rounding, Rounding]] = {
    "fp32": (unchanged, unchanged),
    "tf32": (to_tf32, unchanged),
    "bf16": (to_bf16, to_bf16),
}
"""By name: how operands and results are rounded."""


@contextmanager
def emulated(name: str) -> Iterator[None]:
    """Compute every convolution and linear layer in an arithmetic while the block runs."""
    operands, results = ARITHMETIC[name]
    kept = F.conv2d, F.linear

    def short(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def computed(x: Tensor, weight: Tensor, bias: Tensor | None = None, *more: Any) -> Tensor:  # noqa: ANN401
            return results(function(operands(x), operands(weight), bias, *more))

        return computed

    F.conv2d, F.linear = map(short, kept)
    try:
        yield
    finally:
        F.conv2d, F.linear = kept


def apart(exact: NDArray[np.float32], other: NDArray[np.float32]) -> dict[str, float]:
    """How far posteriors [images, classes] are from those in fp32, and how many labels change."""
    best, of_other = (np.argsort(-values, 1, kind="stable")[:, :5] for values in (exact, other))
    return {
        "largest difference of a posterior": float(np.abs(exact - other).max()),
        "mean over images of the largest": float(np.abs(exact - other).max(1).mean()),
        "top-1 labels changed": int((best[:, 0] != of_other[:, 0]).sum()),
        "top-5 sets changed": int((np.sort(best, 1) != np.sort(of_other, 1)).any(1).sum()),
    }


def posteriors(net: VGG, store: Store, mean: tuple[float, float, float], Q: int, name: str) -> NDArray[np.float32]:
    """Dense posteriors [images, classes] in an arithmetic."""
    with emulated(name):
        return compute_posteriors(net, store, mean, "dense", (Q,), about=f"{net.net}, {name}")[Q]


def full_size(images: Path, count: int) -> dict[str, Any]:
    """Net D on real images."""
    net = net_d()
    with tempfile.TemporaryDirectory() as folder:
        store, _ = store_of(images, count, Path(folder))
        sharpen(net, store)
        exact = posteriors(net, store, MEAN, 256, "fp32")
        of_others = {name: posteriors(net, store, MEAN, 256, name) for name in ("tf32", "bf16")}
    return {
        "images": len(exact),
        "mean of the largest posterior": float(exact.max(1).mean()),
        "different top-1 labels": len(set(exact.argmax(1).tolist())),
    } | {name: apart(exact, values) for name, values in of_others.items()}


def sharpen(net: VGG, store: Store) -> None:
    """Scale and centre the last layer for these images, so that posteriors have the sharpness of a trained net's."""
    hidden = []
    layer = net.fc8
    handle = layer.register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0]))
    compute_posteriors(net, store, MEAN, "dense", (256,), about="last layer")
    handle.remove()
    scores = layer(torch.cat(hidden).clone()).detach()
    scores -= scores.mean(0)
    low, high = 0.0, 1e6
    for _ in range(60):
        scale = (low * high) ** 0.5 if low else high / 2
        sharp = float((scale * scores).softmax(1).max(1).values.mean()) > SHARPNESS
        low, high = (low, scale) if sharp else (scale, high)
    mean = torch.cat(hidden).mean(0)
    layer.weight.data *= high
    layer.bias.data = -(layer.weight.data @ mean)


def trained_nets(results: Path, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The nets of a smoke run on its first validation images, with the number of wrong answers of each arithmetic."""
    whole = Store(results / "data" / "val")
    store = whole.part(slice(0, count))
    for folder in sorted(results.glob("runs/*_256_s0")):
        run = Run.parse(folder.name)
        weights = load_run_weights(folder / "weights.safetensors", run, whole)
        net = weights.net_on(torch.device("cpu"))
        of_all = {name: posteriors(net, store, weights.mean, 256, name) for name in ARITHMETIC}
        wrong = {name: int((values.argmax(1) != store.labels).sum()) for name, values in of_all.items()}
        exact = of_all.pop("fp32")
        compared = {name: apart(exact, values) for name, values in of_all.items()}
        yield run.name, {"images": len(exact), "top-1 answers wrong": wrong, **compared}


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--images", type=int, default=6, help="for net D at full size")
    parser.add_argument("--small", type=int, default=200, help="images for each net of the smoke run")
    given = parser.parse_args()
    pin(CORES)
    measured: dict[str, dict[str, Any]] = {}

    def keep(name: str, row: dict[str, Any]) -> None:
        measured[name] = row
        print(name, json.dumps(row, indent=1), flush=True)
        about = {"title": "Posteriors with a short mantissa, emulated, beside fp32"}
        write_json(RESULTS / "precision.json", {"about": about, "measured": measured, "made": MADE})

    keep("net D at full size, random weights", full_size(given.path, given.images))
    for name, row in trained_nets(given.results, given.small):
        keep(f"smoke {name}", row)


if __name__ == "__main__":
    main()
