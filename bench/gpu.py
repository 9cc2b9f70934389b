"""What a GPU gives: speed, correctness, memory and energy of training and testing, in one call of less than nine minutes.

    python bench/gpu.py [--minutes 8.5] [--out bench/results/gpu.json] [--device cpu]

What is measured (all weights random, all images drawn by the program):
- the ceilings of this card: a bf16 matrix product of 8192^3, a copy within its memory;
- correctness: gradients of a step of A and posteriors of D, dense at Q = 256, in every precision, by their distance from
  float64 on the CPU; whatever is farther than `ALLOWED` is named, and the call ends with status 1;
- training steps of D, A and E at 256 images and at 32 (what one of eight GPUs gets): fp32, tf32, bf16, bf16 compiled, beside
  torchvision's vgg16 under AMP and channels-last, as it comes and compiled, in turns; images/s, memory, joules an image;
- dense evaluation at Q = 256, 384 and 512, batches by shape against one image at a time, and 50 crops.
Floors are arithmetic: operations over the measured product, bytes over the measured copy. On a CPU everything runs too, but
smaller: it shows that the script works, and its figures say nothing of a GPU.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from floors import training_floor
from gpu_work import CPU, GPU, Clock, Drawn, Size, Spent, built, drawn_batches, torchvision_steps
from torch.nn import functional as F

from vggrepro.core.devices import Meter, device_name
from vggrepro.core.files import write_json
from vggrepro.core.provenance import provenance_record
from vggrepro.evaluation.evaluate import compute_posteriors
from vggrepro.nets.inference import ready_for_inference
from vggrepro.nets.initialisation import initialise_randomly
from vggrepro.nets.vgg import VGG
from vggrepro.settings.blocks import EvaluateSettings
from vggrepro.training.loader import Batch
from vggrepro.training.train import Training

AIM = {"of the floor": 0.8, "of torchvision": 1.3, "crops a second": 15_000}
"""What issue-free code is asked to reach on an H200."""


def ceilings(clock: Clock, size: Size) -> dict[str, float]:
    """FLOP/s of a bf16 product, bytes/s of a copy within memory: medians."""
    n, device = size.product, clock.device
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    source = torch.empty(n * n * 8, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = clock.in_turns({"product": lambda: a @ b, "copy": lambda: target.copy_(source)}, 10)
    return {
        "product": 2 * n**3 / median(s.seconds for s in times["product"]),
        "copy": 2 * source.numel() / median(s.seconds for s in times["copy"]),
    }


HOW: dict[str, dict[str, Any]] = {
    "fp32": {"precision": "fp32"},
    "tf32": {"precision": "tf32"},
    "bf16": {"precision": "bf16"},
    "bf16 compiled": {"precision": "bf16", "compile": True},
}
ALLOWED = {"fp32": 1e-3, "fp32 compiled": 1e-3, "tf32": 0.05, "bf16": 0.2, "bf16 compiled": 0.2}
"""How far gradients may be from float64, as a share of their length: bf16 has 8 bits and TF32 11, and what they round decides
maxima and ReLUs of eight layers; in fp32 a sum of another order decides a few."""
ALLOWED_POSTERIORS = {"fp32": 1e-4, "tf32": 0.01, "bf16": 0.1}
"""The same for posteriors, whose errors no backward pass multiplies."""


def allow_tf32(precision: str) -> None:
    """As `Machine.start_torch` does."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


def training(clock: Clock, size: Size, found: dict[str, float]) -> list[dict[str, Any]]:
    """Training steps, ours and torchvision's in turns: images/s with their share of floor and ceiling, memory, energy."""
    rows = []
    for batch in size.batches:
        for net in size.nets:
            batches = drawn_batches(batch, size, clock.device)

            def ours(how: dict[str, Any], net: str = net, batch: int = batch, batches: list[Batch] = batches) -> Any:  # noqa: ANN401
                allow_tf32(how["precision"])
                run = built(net, batch, size, clock, **how)

                def steps() -> None:
                    allow_tf32(how["precision"])
                    for i in range(size.steps):
                        run.step(batches[i % 2])

                return steps

            builders = {name: partial(ours, how) for name, how in HOW.items()}
            if net == "D" and size.model.width == 64:
                builders["torchvision"] = partial(torchvision_steps, batch, size, clock, compiled=False)
                builders["torchvision compiled"] = partial(torchvision_steps, batch, size, clock, compiled=True)
            measured = {name: clock.gigabytes(build) for name, build in builders.items()}
            works = {name: work for name, (_, work) in measured.items() if work}
            spent = clock.in_turns(works, size.repeats)
            works.clear()
            gflop, floor = training_floor(net, batch, size.model, size.classes, found["product"], found["copy"])
            new = [
                {"net": net, "batch": batch, "how": name, "GB": measured[name][0], "GFLOP/image": gflop}
                | _speed(batch * size.steps, turns)
                for name, turns in spent.items()
            ]
            measured.clear()
            for row in new:
                row["of the ceiling"] = row["images/s"] * gflop * 1e9 / found["product"]
                row["of the floor"] = row["images/s"] / floor
                best = max((r["images/s"] for r in new if "torchvision" in r["how"]), default=math.nan)
                row["of torchvision"] = row["images/s"] / best
                _print_training(row)
            rows += new
            if clock.device.type == "cuda":
                torch.cuda.empty_cache()
    return rows


def _speed(images: int, turns: list[Spent]) -> dict[str, Any]:
    speeds = sorted(images / turn.seconds for turn in turns)
    joules = median(turn.joules for turn in turns) / images
    return {"images/s": median(speeds), "spread": [speeds[0], speeds[-1]], "J/image": joules}


def _print_training(row: dict[str, Any]) -> None:
    print(
        f"  {row['net']:2} batch {row['batch']:3}  {row['how']:22} {row['images/s']:9,.0f} images/s "
        f"({row['spread'][0]:,.0f} to {row['spread'][1]:,.0f})  {row['of the ceiling']:5.1%} of the product, "
        f"{row['of the floor']:5.1%} of the floor, {row['of torchvision']:.2f} x torchvision, {row['GB']:.1f} GB, "
        f"{row['J/image']:.2f} J/image",
        flush=True,
    )


def exact_gradient(run: Training, batch: Batch, weight_decay: float = 5e-4) -> torch.Tensor:
    """The velocity after the first step of a training, in float64 on the CPU, by the plainest code there is."""
    net = copy.deepcopy(run.net).cpu().double()
    kept = net.dropout(len(batch.labels), run.run.seed * 1_000_000_007, torch.device("cpu"))
    # to float32 as the net gets it, because that rounding is the input's
    images = batch.images().double()
    loss = F.cross_entropy(net(images, None if kept is None else kept.double()), batch.labels)
    gradients = torch.autograd.grad(loss, list(net.parameters()))
    return torch.cat(
        [(g + weight_decay * w).flatten() for g, w in zip(gradients, net.parameters(), strict=True)]
    ).detach()


def checks(clock: Clock, size: Size) -> list[dict[str, Any]]:
    """What must hold before a figure means anything: how far each precision is from float64 on the CPU."""
    batch, rows = min(size.batches[-1], 8), []
    (crops, *_) = drawn_batches(batch, size, clock.device)
    exact = None
    for name, how in (HOW | {"fp32 compiled": {"precision": "fp32", "compile": True}}).items():
        try:
            allow_tf32(how["precision"])
            run = built("A", batch, size, clock, **how)
            exact = exact_gradient(run, crops) if exact is None else exact
            run.step(crops)
        except RuntimeError as error:
            print(f"  {name}: {str(error).splitlines()[0][:150]}", flush=True)
            continue
        velocity = torch.cat([v.flatten().double().cpu() for v in run.optimiser.velocities.values()])
        off = float((velocity - exact).norm() / exact.norm())
        rows.append({"what": "gradient of A", "how": name, "off": off, "allowed": ALLOWED[name]})
    rows += posterior_checks(clock, size)
    for row in rows:
        row["good"] = row["off"] <= row["allowed"]
        print(
            f"  {row['what']:14} {row['how']:14} off by {row['off']:.1e} of float64 on the CPU"
            f"{'' if row['good'] else ': TOO MUCH, expected at most ' + str(row['allowed'])}",
            flush=True,
        )
    return rows


def posterior_checks(clock: Clock, size: Size) -> Iterator[dict[str, Any]]:
    """Posteriors of D, dense at Q = 256, in every precision: their distance from float64 on the CPU."""
    net = random_net(size)
    store: Any = Drawn(4, size.classes, size.model.scale_unit / 32)

    def posteriors(net: VGG, device: torch.device, precision: str) -> np.ndarray:
        settings = EvaluateSettings.model_validate({"precision": precision})
        return compute_posteriors(net, store, store.colours.mean, "dense", (256,), settings=settings, device=device)[
            256
        ]

    allow_tf32("fp32")
    exact_net, plain = copy.deepcopy(net).double(), VGG.scores
    exact_net.scores = lambda images: plain(exact_net, images.double())  # type: ignore[method-assign]
    exact = posteriors(exact_net, torch.device("cpu"), "fp32")
    net = net.to(clock.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for precision in ("fp32", "tf32", "bf16"):
        allow_tf32(precision)
        ready = ready_for_inference(net, EvaluateSettings.model_validate({"precision": precision}))
        off = float(np.linalg.norm(posteriors(ready, clock.device, precision) - exact) / np.linalg.norm(exact))
        yield {"what": "posteriors of D", "how": precision, "off": off, "allowed": ALLOWED_POSTERIORS[precision]}


def random_net(size: Size) -> VGG:
    """D with random weights, in evaluation mode."""
    net = VGG("D", size.classes, size.model)
    initialise_randomly(net, "glorot", 0)
    return net.eval()


def evaluation(clock: Clock, size: Size) -> list[dict[str, Any]]:
    """Images/s of dense evaluation and crops/s, by shape and one at a time, in every precision."""
    net = random_net(size).to(clock.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    store: Any = Drawn(size.images, size.classes, size.model.scale_unit / 32)
    rows = []

    def run(protocol: str, Q: int, precision: str, most: int) -> Callable[[], object]:
        how = EvaluateSettings.model_validate({"precision": precision, "batch_pixels": most})

        def work() -> None:
            allow_tf32(precision)
            compute_posteriors(
                ready_for_inference(net, how),
                store,
                store.colours.mean,
                protocol,
                (Q,),
                settings=how,
                device=clock.device,
                workers=8,
            )

        return work

    for protocol, scales in (("dense", size.scales), ("multi-crop", size.scales[:1])):
        for Q in scales:
            works = {
                "bf16 by shape": run(protocol, Q, "bf16", 20_000_000),
                "tf32 by shape": run(protocol, Q, "tf32", 20_000_000),
                "fp32 by shape": run(protocol, Q, "fp32", 20_000_000),
                "fp32 one at a time": run(protocol, Q, "fp32", 1),
            }
            views, unit = (50, "crops") if protocol == "multi-crop" else (1, "images")
            for how, turns in clock.in_turns(works, 3).items():
                row = {"protocol": protocol, "Q": Q, "how": how} | _speed(size.images * views, turns)
                rows.append(row)
                print(
                    f"  {protocol:10} Q = {Q}  {how:20} {row['images/s']:9,.0f} {unit}/s, {row['J/image']:.3f} J",
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
    allow_tf32("fp32")
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
        write_json(given.out, without_nan(found))
    found |= {"seconds": meter.seconds, "joules": meter.joules, "aim": AIM}
    write_json(given.out, without_nan(found))
    wrong = [f"{row['what']} in {row['how']}" for row in found["checks"] if not row["good"]]
    print(f"{meter.seconds / 60:.1f} min; written to {given.out}", flush=True)
    if wrong:
        raise SystemExit(f"WRONG, no figure above means anything: {', '.join(wrong)}")


def without_nan(value: Any) -> Any:  # noqa: ANN401
    """The same with null for what was not measured: JSON has no NaN."""
    if isinstance(value, dict):
        return {name: without_nan(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


if __name__ == "__main__":
    main()
