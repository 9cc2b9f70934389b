"""How near training and testing come to what a GPU can do; one call of less than nine minutes that checks, measures, prints.

    python bench/gpu.py [--minutes 9] [--out bench/results/gpu.json] [--device cpu]

What is measured (all weights random, all images drawn by the program):
- the ceilings of this card: a bf16 matrix product of 8192^3, a copy within its memory;
- training steps of D, A and E at 256 images and at 32 (what one of eight GPUs gets): fp32, bf16, bf16 compiled, beside
  torchvision's vgg16 under AMP and channels-last, as it comes and compiled, in turns; images start as bytes in pinned memory;
- dense evaluation at Q = 256, 384 and 512, batches by shape against one image at a time, and 50 crops;
- how many answers bf16 changes.
Floors are arithmetic: operations over the measured product, bytes over the measured copy. On a CPU everything runs too, but
smaller: it shows that the script works, and its figures say nothing of a GPU.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from vggrepro.core.devices import Meter, device_name
from vggrepro.core.files import write_json
from vggrepro.core.provenance import provenance_record
from vggrepro.data.colours import Colours
from vggrepro.evaluation.evaluate import compute_posteriors
from vggrepro.nets.inference import ready_for_inference
from vggrepro.nets.vgg import VGG
from vggrepro.paper.nets import blocks_of
from vggrepro.paper.runs import Run
from vggrepro.settings.blocks import EvaluateSettings, NetSettings
from vggrepro.settings.models import RunSettings
from vggrepro.training.loader import Batch
from vggrepro.training.processes import ALONE, ProcessGroup
from vggrepro.training.train import Training, build_training

NETS = ("D", "A", "E")
AIM = {"of the floor": 0.8, "of torchvision": 1.3, "crops a second": 15_000}
"""What issue-free code is asked to reach on an H200."""


@dataclass(frozen=True)
class Size:
    """How much is measured: all of it on a GPU, a taste of it on a CPU."""

    model: NetSettings
    batches: tuple[int, ...]
    steps: int
    nets: tuple[str, ...]
    images: int
    scales: tuple[int, ...]
    product: int
    classes: int = 1000
    repeats: int = 5


GPU = Size(NetSettings(), (256, 32), 8, NETS, 192, (256, 384, 512), 8192)
CPU = Size(NetSettings(scale_unit=8, width=4, fc=64), (8, 4), 2, NETS, 6, (256, 384, 512), 512, classes=100, repeats=2)


class Clock:
    """Time left, and seconds of work on the device."""

    def __init__(self, device: torch.device, minutes: float) -> None:
        self.device, self.end = device, time.monotonic() + 60 * minutes

    def wait(self) -> None:
        """Until the device has done all that was asked of it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable[[], object]) -> float:
        """What a piece of work takes."""
        self.wait()
        started = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - started

    def in_turns(self, works: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
        """Seconds of each of several pieces of work, in turns, after each was done twice; one that fails is left out."""
        found: dict[str, list[float]] = {}
        for name, work in works.items():
            if time.monotonic() > self.end:
                print(f"  no time left for {name}", flush=True)
                continue
            try:
                for _ in range(2):
                    self.seconds(work)
                found[name] = []
            except RuntimeError as error:  # out of memory, or no compiler: said, and the others go on
                print(f"  {name}: {str(error).splitlines()[0][:150]}", flush=True)
        for _ in range(repeats):
            for name, times in found.items():
                times.append(self.seconds(works[name]))
        return found


def convolutions(net: str, side: int, outputs: int, model: NetSettings) -> Iterator[tuple[float, float, float]]:
    """Of every layer with weights: multiplications of an image, activations that go in, activations that come out."""
    channels, poolings = 3, model.scale_unit.bit_length() - 1
    for b, block in enumerate(blocks_of(net), start=1):
        for layer in block:
            if isinstance(layer, str):
                continue
            after = layer.channels * model.width // 64
            yield channels * after * layer.size**2 * side**2, channels * side**2, after * side**2
            channels = after
        side //= 2 if b <= poolings else 1
    for before, after in ((channels * side**2, model.fc), (model.fc, model.fc), (model.fc, outputs)):
        yield before * after, before, after


def training_floor(net: str, batch: int, size: Size, rate: float, bandwidth: float) -> tuple[float, float]:
    """GFLOP of a training image, and the most images/s that `rate` FLOP/s and `bandwidth` bytes/s allow.

    Backward costs twice forward, but for the gradient of the pixels. Bytes, at 2 an activation and with all pointwise work
    fused: a layer reads its input and writes its output, backward reads both gradients' sources and writes one, and reads
    the output once more for the ReLU; a pooling of P activations moves 3.5 P. SGD moves 20 bytes a weight and step.
    """
    layers = list(convolutions(net, size.model.crop, size.classes, size.model))
    flop = 6 * sum(work for work, _, _ in layers) - 2 * layers[0][0]
    inner = sum(3 * before + 4 * after for _, before, after in layers) - layers[0][1]
    pooled = [after for (_, _, after), (_, before, _) in pairwise(layers) if before < after]
    weights = sum(p.numel() for p in VGG(net, size.classes, size.model).parameters())
    moved = 2 * (inner + 3.5 * sum(pooled)) + 20 * weights / batch
    return flop / 1e9, 1 / (flop / rate + moved / bandwidth)


def ceilings(clock: Clock, size: Size) -> dict[str, float]:
    """FLOP/s of a bf16 product, bytes/s of a copy within memory: medians."""
    n, device = size.product, clock.device
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    source = torch.empty(n * n * 8, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = clock.in_turns({"product": lambda: a @ b, "copy": lambda: target.copy_(source)}, 10)
    return {"product": 2 * n**3 / median(times["product"]), "copy": 2 * source.numel() / median(times["copy"])}


class Drawn:
    """A store of random images in sizes that ILSVRC has, in memory: what a training and an evaluation ask of one."""

    def __init__(self, count: int, classes: int, scale: float) -> None:
        rng = np.random.default_rng(0)
        shapes = [(375, 500), (500, 375), (500, 500), (333, 500), (500, 333), (400, 600)]
        self._sizes = [tuple(round(scale * side) for side in shapes[i % len(shapes)]) for i in range(count)]
        self._images = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in self._sizes]
        self.labels, self.classes = rng.integers(0, classes, count), classes
        self.ids = [f"{i}" for i in range(count)]
        self.colours = Colours((123.7, 116.8, 103.9), (0.2175, 0.0188, 0.0045), ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
        self.annotated = np.zeros(count, bool)

    def __len__(self) -> int:
        return len(self._images)

    def image(self, i: int) -> np.ndarray:
        """Pixels of image `i`."""
        return self._images[i]


def built(net: str, batch: int, size: Size, clock: Clock, group: ProcessGroup = ALONE, **options: object) -> Training:
    """A training that is ready for its first step."""
    train = {"batch": batch, "init": "glorot", "learning_rate": 1e-4, **options}
    settings = RunSettings.model_validate({"model": size.model.model_dump(), "train": train}, strict=False)
    store: Any = Drawn(1, size.classes, 1)
    return build_training(Run(net, "256"), settings, store, store, device=clock.device, group=group)


def drawn_batches(batch: int, size: Size, device: torch.device) -> list[Batch]:
    """Two batches of random crops, as the loader makes them."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(2):
        pixels = torch.from_numpy(rng.integers(0, 256, (batch, size.model.crop, size.model.crop, 3), np.uint8))
        shift = torch.from_numpy(rng.normal(-120, 5, (batch, 3)).astype(np.float32))
        labels = torch.from_numpy(rng.integers(0, size.classes, batch))
        if device.type == "cuda":
            pixels = pixels.pin_memory()
        found.append(Batch(pixels, shift, labels, torch.empty(batch, 0), 0, batch, batch))
    return found


def torchvision_steps(batch: int, size: Size, clock: Clock, compiled: bool) -> Callable[[], object]:
    """Training steps of torchvision's vgg16 as its own recipe goes: AMP, channels-last, float32 crops from pinned memory."""
    from torchvision.models import vgg16

    net: nn.Module = vgg16(weights=None, num_classes=size.classes)
    if size.model.width != 64:
        raise RuntimeError("torchvision has no vgg16 of this size")
    net = net.to(clock.device, memory_format=torch.channels_last).train()
    forward = torch.compile(net) if compiled else net
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4, fused=True)
    images = torch.randn(batch, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, size.classes, (batch,))
    if clock.device.type == "cuda":
        images, labels = images.pin_memory(), labels.pin_memory()

    def steps() -> None:
        for _ in range(size.steps):
            x, y = images.to(clock.device, non_blocking=True), labels.to(clock.device, non_blocking=True)
            optimiser.zero_grad()
            with torch.autocast(clock.device.type, torch.bfloat16):
                loss = F.cross_entropy(forward(x), y)
            loss.backward()
            optimiser.step()

    return steps


HOW: dict[str, dict[str, Any]] = {
    "fp32": {"precision": "fp32"},
    "bf16": {"precision": "bf16"},
    "bf16 compiled": {"precision": "bf16", "compile": True},
}


def training(clock: Clock, size: Size, found: dict[str, float]) -> list[dict[str, Any]]:
    """Images/s of training steps, ours and torchvision's in turns, with their share of floor and ceiling."""
    rows = []
    for batch in size.batches:
        for net in size.nets:
            batches = drawn_batches(batch, size, clock.device)

            def ours(how: dict[str, Any], net: str = net, batch: int = batch, batches: list[Batch] = batches) -> Any:  # noqa: ANN401
                run = built(net, batch, size, clock, **how)
                return lambda: [run.step(batches[i % 2]) for i in range(size.steps)]

            works: dict[str, Callable[[], object]] = {}
            for name, how in HOW.items():
                works[name] = ours(how)
            if net == "D" and size.model.width == 64:
                works["torchvision"] = torchvision_steps(batch, size, clock, compiled=False)
                works["torchvision compiled"] = torchvision_steps(batch, size, clock, compiled=True)
            times = clock.in_turns(works, size.repeats)
            works.clear()
            gflop, floor = training_floor(net, batch, size, found["product"], found["copy"])
            rows += [
                _training_row(net, batch, name, seconds, size, gflop, floor, found) for name, seconds in times.items()
            ]
            for row in rows[-len(times) :]:
                row["of torchvision"] = row["images/s"] / max(
                    (r["images/s"] for r in rows if "torchvision" in r["how"] and r["batch"] == batch), default=math.nan
                )
                _print_training(row)
            if clock.device.type == "cuda":
                torch.cuda.empty_cache()
    return rows


def _training_row(
    net: str,
    batch: int,
    how: str,
    seconds: list[float],
    size: Size,
    gflop: float,
    floor: float,
    found: dict[str, float],
) -> dict[str, Any]:
    speeds = sorted(batch * size.steps / s for s in seconds)
    speed = median(speeds)
    return {
        "net": net,
        "batch": batch,
        "how": how,
        "images/s": speed,
        "spread": [speeds[0], speeds[-1]],
        "GFLOP/image": gflop,
        "of the ceiling": speed * gflop * 1e9 / found["product"],
        "of the floor": speed / floor,
    }


def _print_training(row: dict[str, Any]) -> None:
    print(
        f"  {row['net']:2} batch {row['batch']:3}  {row['how']:22} {row['images/s']:9,.0f} images/s "
        f"({row['spread'][0]:,.0f} to {row['spread'][1]:,.0f})  {row['of the ceiling']:5.1%} of the product, "
        f"{row['of the floor']:5.1%} of the floor, {row['of torchvision']:.2f} x torchvision",
        flush=True,
    )


def checks(clock: Clock, size: Size) -> dict[str, float]:
    """What must hold before a figure means anything: relative errors of the fast ways against fp32."""
    batch = min(size.batches[-1], 8)
    (crops, *_) = drawn_batches(batch, size, clock.device)
    gradients = {}
    for name, how in (HOW | {"fp32 compiled": {"precision": "fp32", "compile": True}}).items():
        try:
            run = built("A", batch, size, clock, **how)
            run.step(crops)
            # the first step's velocity is the gradient
            gradients[name] = torch.cat([v.flatten().double().cpu() for v in run.optimiser.velocities.values()])
        except RuntimeError as error:
            print(f"  {name}: {str(error).splitlines()[0][:150]}", flush=True)
    exact = gradients["fp32"]
    found = {name: float((g - exact).norm() / exact.norm()) for name, g in gradients.items() if name != "fp32"}
    for name, off in found.items():
        print(
            f"  gradient of {name}: off by {off:.1e} of its length{'' if off < ALLOWED[name] else ': TOO MUCH'}",
            flush=True,
        )
    return found


ALLOWED = {"bf16": 0.2, "bf16 compiled": 0.2, "fp32 compiled": 1e-3}
"""bf16 has 8 bits, and what it rounds decides maxima and ReLUs of eight layers; a compiler only reorders sums."""


def evaluation(clock: Clock, size: Size) -> list[dict[str, Any]]:
    """Images/s of dense evaluation and crops/s, by shape and one at a time, fp32 and bf16; and what bf16 changes."""
    net = VGG("D", size.classes, size.model)
    from vggrepro.nets.initialisation import initialise_randomly

    initialise_randomly(net, "glorot", 0)
    net = net.to(clock.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    store = Drawn(size.images, size.classes, size.model.scale_unit / 32)
    rows, answers = [], {}

    def run(protocol: str, Q: int, precision: str, most: int) -> Callable[[], object]:
        how = EvaluateSettings.model_validate({"precision": precision, "batch_pixels": most})

        def work() -> None:
            answers[protocol, Q, precision] = compute_posteriors(
                ready_for_inference(net, how),
                store,
                store.colours.mean,
                protocol,
                (Q,),
                settings=how,
                device=clock.device,
                workers=8,  # type: ignore[arg-type]
            )[Q]

        return work

    for protocol, scales in (("dense", size.scales), ("multi-crop", size.scales[:1])):
        for Q in scales:
            works = {
                "bf16 by shape": run(protocol, Q, "bf16", 20_000_000),
                "fp32 by shape": run(protocol, Q, "fp32", 20_000_000),
                "fp32 one at a time": run(protocol, Q, "fp32", 1),
            }
            for how, seconds in clock.in_turns(works, 3).items():
                views = 50 if protocol == "multi-crop" else 1
                speed = size.images * views / median(seconds)
                rows.append({"protocol": protocol, "Q": Q, "how": how, "per s": speed})
                unit = "crops" if views > 1 else "images"
                print(f"  {protocol:10} Q = {Q}  {how:20} {speed:9,.0f} {unit}/s", flush=True)
            exact, half = (answers.get((protocol, Q, name)) for name in ("fp32", "bf16"))
            if exact is not None and half is not None:
                changed = float((exact.argmax(1) != half.argmax(1)).mean())
                rows.append({"protocol": protocol, "Q": Q, "how": "answers that bf16 changes", "share": changed})
                print(
                    f"  {protocol:10} Q = {Q}  bf16 changes {changed:.1%} of the answers of this untrained net",
                    flush=True,
                )
    return rows


def main() -> None:
    """Check, measure, print, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.5, help="nothing further begins after so many")
    parser.add_argument("--out", type=Path, default=Path("bench/results/gpu.json"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()
    device = torch.device(given.device)
    size = GPU if device.type == "cuda" else CPU
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    clock, meter = Clock(device, given.minutes), Meter(device)
    print(f"{device_name(device)}, torch {torch.__version__}", flush=True)
    found: dict[str, Any] = {
        "device": device_name(device),
        "made": provenance_record(),
        "ceilings": ceilings(clock, size),
    }
    rate, bandwidth = found["ceilings"]["product"], found["ceilings"]["copy"]
    print(f"  bf16 product {rate / 1e12:.1f} TFLOP/s, copy {bandwidth / 1e12:.3f} TB/s", flush=True)
    parts = {
        "checks": lambda: checks(clock, size),
        "training": lambda: training(clock, size, found["ceilings"]),
        "evaluation": lambda: evaluation(clock, size),
    }
    for name, part in parts.items():
        found[name] = part()
        write_json(given.out, found)
    found |= {"seconds": meter.seconds, "joules": None if math.isnan(meter.joules) else meter.joules, "aim": AIM}
    write_json(given.out, found)
    print(f"{meter.seconds / 60:.1f} min; written to {given.out}", flush=True)


if __name__ == "__main__":
    main()
