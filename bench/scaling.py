"""What several GPUs do for a training: measured where there are several, otherwise a model, marked as one.

    torchrun --standalone --nproc-per-node=4 bench/scaling.py       images/s of D at a batch of 256 over 4 GPUs, and over 1
    python bench/scaling.py                                          the model: predictions for 4 and 8 GPUs

The paper (section 3.3) says 3.75 times on four Titan Black. The model of a step on G GPUs, a batch of 256:
    compute    256/G images at the speed measured on one GPU with a batch of 256/G (bench/results/gpu.json), or assumed
    exchange   a ring moves 2 (G-1)/G of the gradients' bytes, 4 a weight, at the link's rate; what is sent while backward
               still computes costs nothing. The FC layers, nine tenths of D's weights, have their gradients first.
    update     20 bytes a weight within the GPU's memory, the same whatever G is
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from floors import training_floor
from gpu_work import CPU, GPU, Clock, built, drawn_batches

from vggrepro.core.devices import choose_device, device_name
from vggrepro.core.files import write_json
from vggrepro.core.provenance import provenance_record
from vggrepro.nets.vgg import count_parameters, full_size_net
from vggrepro.training.processes import ProcessGroup, join_processes

BATCH, PAPERS = 256, 3.75
FC = 0.89
"""Share of D's weights in its FC layers."""
BACKWARD = 2 / 3
"""Share of a step's arithmetic that is backward."""


@dataclass(frozen=True)
class Machine:
    """What the model needs to know of GPUs and of what joins them."""

    name: str
    link: float
    """Bytes/s that a ring moves."""
    memory: float
    """Bytes/s within a GPU's memory."""
    speeds: dict[int, float]
    """Images/s of one GPU at a batch of so many."""
    overlaps: bool = True
    """Whether gradients are sent while backward computes."""
    source: str = ""


def step(machine: Machine, gpus: int) -> float:
    """Seconds of a step of D on so many GPUs."""
    images, weights = BATCH // gpus, count_parameters(full_size_net("D"))
    compute = images / machine.speeds[images]
    exchange = 2 * (gpus - 1) / gpus * 4 * weights / machine.link
    # what the convolutions' gradients, the last ones, cost cannot be hidden behind anything but each other
    hidden = min(FC * exchange, BACKWARD * compute) if machine.overlaps else 0.0
    return compute + exchange - hidden + 20 * weights / machine.memory


def assumed(rate: float, memory: float, share: float) -> dict[int, float]:
    """Images/s at batches of 256, 64 and 32: a share of the arithmetic floor of a GPU."""
    return {b: share * training_floor("D", b, GPU.model, GPU.classes, rate, memory)[1] for b in (256, 64, 32)}


def machines(measured: Path) -> list[Machine]:
    """The paper's GPUs, and today's with what is assumed of them or, if it is there, was measured."""
    titan = assumed(5.1e12, 336e9, 0.6)
    found = [
        Machine("Titan Black on PCIe 3, as in the paper", 10e9, 336e9, titan, False, "assumed: 60% of the floor"),
        Machine("H200, NVLink", 360e9, 4.3e12, assumed(790e12, 4.3e12, 0.8), True, "assumed: 80% of the floor"),
        Machine("H200, PCIe 5", 40e9, 4.3e12, assumed(790e12, 4.3e12, 0.8), True, "assumed: 80% of the floor"),
    ]
    if measured.exists():
        told = json.loads(measured.read_text(encoding="utf-8"))
        best = {
            b: max((r["images/s"] for r in told["training"] if (r["net"], r["batch"]) == ("D", b)), default=0.0)
            for b in (256, 32)
        }
        if all(best.values()) and told["device"] != "CPU":
            speeds = best | {64: best[32] + (best[256] - best[32]) / 7}
            found.append(
                Machine(f"{told['device']}, NVLink", 360e9, told["ceilings"]["copy"], speeds, True, str(measured))
            )
    return found


def model(measured: Path) -> list[dict[str, object]]:
    """Predictions for 4 and 8 GPUs."""
    rows: list[dict[str, object]] = []
    for machine in machines(measured):
        for gpus in (4, 8):
            gain = step(machine, 1) / step(machine, gpus)
            rows.append({"machine": machine.name, "GPUs": gpus, "times": gain, "from": machine.source})
            papers = f"  (the paper measured {PAPERS})" if "paper" in machine.name and gpus == 4 else ""
            print(f"  MODEL  {machine.name:42} {gpus} GPUs: {gain:.2f} times one GPU{papers}", flush=True)
    return rows


def measure(device: torch.device, group: ProcessGroup, steps: int) -> list[float]:
    """Seconds of steps at the global batch, of all processes together."""
    size = GPU if device.type == "cuda" else CPU
    batch = BATCH if device.type == "cuda" else size.batches[0]
    how = {"precision": "bf16", "compile": True} if device.type == "cuda" else {}
    run = built("D", batch, size, Clock(device, 60), group=group, **how)
    share = group.share(batch)
    crops = drawn_batches(share.stop - share.start, size, device)[0]
    crops = crops._replace(first=share.start, global_size=batch, counted=batch)
    clock = Clock(device, 60)
    for _ in range(3):
        run.step(crops)
    return [group.largest(clock.spent(lambda: run.step(crops)).seconds) for _ in range(steps)]


def main() -> None:
    """Measure if torchrun started this, and write the model beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("bench/results"))
    given = parser.parse_args()
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes == 1:
        write_json(
            given.out / "scaling-model.json", {"model": model(given.out / "gpu.json"), "made": provenance_record()}
        )
        return
    device = choose_device(given.device, processes)
    with join_processes(processes, device) as group:
        together = median(measure(device, group, 10))
        alone = median(measure(device, ProcessGroup(), 10)) if group.main else 0.0
        group.wait()
        if group.main:
            print(
                f"  {processes} x {device_name(device)}: {alone / together:.2f} times one; the paper: {PAPERS} on four",
                flush=True,
            )
            found = {
                "processes": processes,
                "device": device_name(device),
                "times": alone / together,
                "made": provenance_record(),
            }
            write_json(given.out / f"scaling-{processes}.json", found)


if __name__ == "__main__":
    main()
