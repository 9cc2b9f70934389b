"""Testing net D at full size on a CPU: dense evaluation of real images of different sizes, and 50 crops; images/s.

    python bench/evaluation.py IMAGES.zip [--images 12]       any zip of JPEGs

Three peers, with our weights:

- the plain loop: torchvision's vgg16 with its FC layers as convolutions (for crops, as it is), float32; for every scale an
  image is decoded by PIL, rescaled, and shown with its mirror image, a view at a time;
- its best flags: channels-last, inference mode, all views of an image in one batch, decoded once;
- OpenVINO, where it is installed (`pip install openvino`): the same batches, in float32.

Ours is `compute_posteriors` on the same files, with `evaluate.cpu_kernels` on and off, and in bf16 where the CPU has
instructions for it. Weights are random (He). Prints how far posteriors are apart, and how many top-1 labels bf16 changes.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from harness import Row, in_turn, pin, row, write
from PIL import Image
from torch import Tensor, nn
from torchvision.models import vgg16
from torchvision.transforms import v2

from vggrepro.data.ilsvrc import open_ilsvrc
from vggrepro.data.prepare import original_images
from vggrepro.data.store import Store
from vggrepro.data.transforms import grid, rescaled_size
from vggrepro.data.writer import write_store
from vggrepro.evaluation.evaluate import compute_posteriors
from vggrepro.nets.inference import cpu_has_bf16, ready_for_inference
from vggrepro.nets.initialisation import initialise_randomly
from vggrepro.nets.vgg import VGG
from vggrepro.settings.blocks import EvaluateSettings, NetSettings

MEAN = (123.68, 116.779, 103.939)
CORES, CROP, CLASSES = 2, 224, 1000
DENSE, CROPS = "dense", "multi-crop"
OURS = {
    "ours": EvaluateSettings(),
    "kernels off": EvaluateSettings(cpu_kernels=False),
    "bf16": EvaluateSettings(precision="bf16"),
}

Net = Callable[[Tensor], Tensor]
"""Scores of images: [B, classes, h, w] of whole ones, [B, classes] of crops."""


def net_d() -> VGG:
    """Net D of the paper's size."""
    net = VGG("D", CLASSES, NetSettings(dropout=0)).eval()
    initialise_randomly(net, "he", seed=0)
    # a random net's soft-max would be saturated, and hide differences
    net.fc8.weight.data *= 0.02
    return net


def torchvision_net(net: VGG, dense: bool) -> nn.Module:
    """torchvision's net with our weights; its FC layers as convolutions for whole images."""
    vgg = vgg16().eval()
    convolutions = [layer for layer in vgg.features if isinstance(layer, nn.Conv2d)]
    layers = [*convolutions, *(vgg.classifier[i] for i in (0, 3, 6))]
    ours = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for layer, own in zip(layers, ours, strict=True):
        layer.load_state_dict(own.state_dict())
    if not dense:
        return nn.Sequential(vgg.features, nn.Flatten(), vgg.classifier)
    as_convolutions = []
    for layer, size in ((vgg.classifier[0], 7), (vgg.classifier[3], 1), (vgg.classifier[6], 1)):
        convolution = nn.Conv2d(layer.in_features // size**2, layer.out_features, size)
        convolution.weight.data = layer.weight.data.view(convolution.weight.shape)
        convolution.bias = layer.bias
        as_convolutions += [convolution, nn.ReLU(inplace=True)]
    return nn.Sequential(vgg.features, *as_convolutions[:-1])


def openvino_net(net: nn.Module, sides: tuple[int, int]) -> Net:
    """The net compiled by OpenVINO, for images of any size."""
    import openvino

    model = openvino.convert_model(net, example_input=torch.zeros(1, 3, *sides))
    options = {"INFERENCE_NUM_THREADS": CORES, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(model, "CPU", options)
    return lambda views: torch.from_numpy(compiled(views.numpy())[0])


def decoded(data: bytes, Q: int) -> Tensor:
    """[1, 3, H, W]: an image as the plain loop has it."""
    with Image.open(io.BytesIO(data)) as image:
        return rescaled(image.convert("RGB"), Q)


def rescaled(image: Image.Image, Q: int) -> Tensor:
    """[1, 3, H, W]: an image at a scale, less the mean. torchvision's `[Q]` would round the longer side down."""
    size = rescaled_size(image.height, image.width, Q)
    pixels = v2.functional.pil_to_tensor(v2.functional.resize(image, list(size)))
    return (pixels.float() - torch.tensor(MEAN)[:, None, None])[None]


def views_of(image: Tensor, protocol: str) -> list[Tensor]:
    """The views of an image under a protocol."""
    if protocol == DENSE:
        return [image, image.flip(3)]
    corners = grid(*image.shape[2:], CROP)
    cuts = [image[..., top : top + CROP, left : left + CROP] for top, left in corners]
    return cuts + [cut.flip(3) for cut in cuts]


def plain_loop(net: Net, files: list[bytes], protocol: str, scales: tuple[int, ...]) -> np.ndarray:
    """Posteriors [scales, images, classes], a view at a time."""
    posteriors = torch.empty(len(scales), len(files), CLASSES)
    with torch.no_grad():
        for s, Q in enumerate(scales):
            for i, data in enumerate(files):
                of_views = []
                for view in views_of(decoded(data, Q), protocol):
                    scores = net(view)
                    of_views.append((scores.mean((2, 3)) if protocol == DENSE else scores).softmax(1)[0])
                posteriors[s, i] = torch.stack(of_views).mean(0)
    return posteriors.numpy()


def in_batches(net: Net, files: list[bytes], protocol: str, scales: tuple[int, ...]) -> np.ndarray:
    """The same, all views of an image at once."""
    posteriors = torch.empty(len(scales), len(files), CLASSES)
    with torch.inference_mode():
        for i, data in enumerate(files):
            with Image.open(io.BytesIO(data)) as opened:
                image = opened.convert("RGB")
            for s, Q in enumerate(scales):
                views = views_of(rescaled(image, Q), protocol)
                scores = net(torch.cat(views).contiguous(memory_format=torch.channels_last))
                posteriors[s, i] = (scores.mean((2, 3)) if protocol == DENSE else scores).softmax(1).mean(0)
    return posteriors.numpy()


def ours(net: VGG, settings: EvaluateSettings, store: Store, protocol: str, scales: tuple[int, ...]) -> np.ndarray:
    """The same by this package, its net made ready anew, as at the start of an evaluation."""
    ready = ready_for_inference(net, settings)
    by_scale = compute_posteriors(ready, store, MEAN, protocol, scales, settings=settings, workers=1)
    return np.stack([by_scale[Q] for Q in scales])


def store_of(path: Path, count: int, folder: Path) -> tuple[Store, list[bytes]]:
    """Images of different shapes, in a store of files and as they are."""
    files: dict[tuple[int, int], tuple[str, bytes]] = {}
    with zipfile.ZipFile(path) as file:
        for name in (n for n in file.namelist() if n.endswith((".JPEG", ".jpg"))):
            data = file.read(name)
            with Image.open(io.BytesIO(data)) as image:
                files.setdefault(image.size, (Path(name).name, data))
    chosen = sorted(list(files.values())[:count])
    for name, data in chosen:
        target = folder / "train" / "n00000000" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    layout = open_ilsvrc(folder)
    items = layout.items("train")
    layout.wnids = [f"n{c:08d}" for c in range(CLASSES)]
    write_store(folder / "store", original_images(layout, items, encoding="files"))
    return Store(folder / "store"), [data for _, data in chosen]


def measured(
    net: VGG, store: Store, files: list[bytes], protocol: str, scales: tuple[int, ...], repeats: int
) -> list[Row]:
    """A row with the kernels on, one with them off, and one in bf16 where the CPU has it, beside the same peers."""
    plain = torchvision_net(net, dense=protocol == DENSE)
    best = torchvision_net(net, dense=protocol == DENSE).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    results: dict[str, np.ndarray] = {}

    def work(name: str, compute: Callable[[], np.ndarray]) -> Callable[[], float]:
        def run() -> float:
            results[name] = compute()
            return len(files)

        return run

    works = {
        "peer": work("peer", lambda: plain_loop(plain, files, protocol, scales)),
        "best": work("best", lambda: in_batches(best, files, protocol, scales)),
    }
    if importlib.util.find_spec("openvino"):
        sides = (256, 341) if protocol == DENSE else (CROP, CROP)
        runtime = openvino_net(torchvision_net(net, dense=protocol == DENSE), sides)
        works["runtime"] = work("runtime", lambda: in_batches(runtime, files, protocol, scales))
    for name, settings in OURS.items():
        if name != "bf16" or cpu_has_bf16():
            works[name] = work(name, lambda settings=settings: ours(net, settings, store, protocol, scales))  # type: ignore[misc]
    times = in_turn(works, repeats)
    peers = {name: times[name] for name in times if name not in OURS}
    what, rows = f"{protocol}, Q = {', '.join(map(str, scales))}", []
    for name in (name for name in OURS if name in times):
        label = {"ours": "fp32", "kernels off": "fp32, cpu_kernels: false", "bf16": "bf16"}[name]
        reach = {"ours": 2.0, "kernels off": None, "bf16": None}[name] if protocol == DENSE else None
        apart = float(np.abs(results[name] - results["peer"]).max())
        changed = int((results[name].argmax(-1) != results["ours"].argmax(-1)).sum())
        print(f"{name}: posteriors at most {apart:.1e} apart, {changed} of {results[name][..., 0].size} labels changed")
        about = {"apart": apart, "changed": changed}
        rows.append(row(f"{what}, {label}", "images/s", peers | {"ours": times[name]}, reach=reach, **about))
    return rows


def main() -> None:
    """Dense at one scale and at three, then 50 crops."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument(
        "--images", type=int, default=12, help="at one scale; at three, and in crops, a quarter of them"
    )
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    pin(CORES)
    net, rows, few = net_d(), list[Row](), -(-given.images // 4)
    with tempfile.TemporaryDirectory() as folder:
        store, files = store_of(given.path, given.images, Path(folder))
        for protocol, scales, count in (
            (DENSE, (256,), given.images),
            (DENSE, (256, 384, 512), few),
            (CROPS, (256,), few),
        ):
            part = store.part(slice(0, count))
            rows += measured(net, part, files[:count], protocol, scales, given.repeats)
    about = {
        "title": f"Testing net D, {CORES} cores",
        "peer": "plain loop",
        "best": "its best flags",
        "runtime": "OpenVINO",
        "ours": "vggrepro",
    }
    write("evaluation", about, rows)


if __name__ == "__main__":
    main()
