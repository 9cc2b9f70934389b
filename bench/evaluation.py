"""Testing net D at full size on a CPU: dense evaluation of real images of different sizes, and 50 crops; images/s.

    python bench/evaluation.py IMAGES.zip [--images 12]       any zip of JPEGs

The peer is the plain loop: torchvision's vgg16 with its FC layers as convolutions (for crops, as it is), float32; for every
scale an image is decoded by PIL, rescaled, and shown with its mirror image, a view at a time. Its best flags: channels-last,
inference mode, all views of an image in one batch, decoded once. Ours is `evaluate.posteriors` on the same files and weights.
Weights are random (He). Prints how far the posteriors of both are apart, and, where the CPU multiplies bf16, how many answers
bf16 changes.
"""

from __future__ import annotations

import argparse
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
from vggrepro.data.writer import write_store as write_store
from vggrepro.evaluation.evaluate import compute_posteriors
from vggrepro.nets.initialisation import initialise_randomly
from vggrepro.nets.vgg import VGG
from vggrepro.settings.blocks import EvaluateSettings, NetSettings

MEAN = (123.68, 116.779, 103.939)
CORES, CROP = 2, 224
DENSE, CROPS = "dense", "multi-crop"


def net_d() -> VGG:
    """Net D of the paper's size."""
    net = VGG("D", 1000, NetSettings(dropout=0)).eval()
    initialise_randomly(net, "he", seed=0)
    # a random net's soft-max would be all or nothing, and hide differences
    net.fc8.weight.data *= 0.02
    return net


def theirs(net: VGG, dense: bool) -> nn.Module:
    """torchvision's net with our weights; its FC layers as convolutions for whole images."""
    made = vgg16().eval()
    convolutions = [layer for layer in made.features if isinstance(layer, nn.Conv2d)]
    layers = [*convolutions, *(made.classifier[i] for i in (0, 3, 6))]
    mine = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for layer, own in zip(layers, mine, strict=True):
        layer.load_state_dict(own.state_dict())
    if not dense:
        return nn.Sequential(made.features, nn.Flatten(), made.classifier)
    as_convolutions = []
    for layer, size in ((made.classifier[0], 7), (made.classifier[3], 1), (made.classifier[6], 1)):
        convolution = nn.Conv2d(layer.in_features // size**2, layer.out_features, size)
        convolution.weight.data = layer.weight.data.view(convolution.weight.shape)
        convolution.bias = layer.bias
        as_convolutions += [convolution, nn.ReLU(inplace=True)]
    return nn.Sequential(made.features, *as_convolutions[:-1])


def decoded(data: bytes, Q: int) -> Tensor:
    """[1, 3, H, W]: an image as the plain loop has it."""
    with Image.open(io.BytesIO(data)) as image:
        return rescaled(image.convert("RGB"), Q)


def rescaled(image: Image.Image, Q: int) -> Tensor:
    """[1, 3, H, W]: an image at a scale, less the mean. torchvision's `[Q]` would round the longer side down."""
    size = rescaled_size(image.height, image.width, Q)
    pixels = v2.functional.pil_to_tensor(v2.functional.resize(image, list(size)))
    return (pixels.float() - torch.tensor(MEAN)[:, None, None])[None]


def shown(image: Tensor, protocol: str) -> list[Tensor]:
    """The views of an image under a protocol."""
    if protocol == DENSE:
        return [image, image.flip(3)]
    corners = grid(*image.shape[2:], CROP)
    cuts = [image[..., top : top + CROP, left : left + CROP] for top, left in corners]
    return cuts + [cut.flip(3) for cut in cuts]


def plain_loop(net: nn.Module, files: list[bytes], protocol: str, scales: tuple[int, ...]) -> np.ndarray:
    """Posteriors [scales, images, classes], a view at a time."""
    found = torch.empty(len(scales), len(files), 1000)
    with torch.no_grad():
        for s, Q in enumerate(scales):
            for i, data in enumerate(files):
                posteriors = []
                for view in shown(decoded(data, Q), protocol):
                    scores = net(view)
                    posteriors.append((scores.mean((2, 3)) if protocol == DENSE else scores).softmax(1)[0])
                found[s, i] = torch.stack(posteriors).mean(0)
    return found.numpy()


def at_its_best(net: nn.Module, files: list[bytes], protocol: str, scales: tuple[int, ...]) -> np.ndarray:
    """The same, all views of an image at once."""
    found = torch.empty(len(scales), len(files), 1000)
    with torch.inference_mode():
        for i, data in enumerate(files):
            with Image.open(io.BytesIO(data)) as opened:
                image = opened.convert("RGB")
            for s, Q in enumerate(scales):
                views = shown(rescaled(image, Q), protocol)
                scores = net(torch.cat(views).to(memory_format=torch.channels_last))
                found[s, i] = (scores.mean((2, 3)) if protocol == DENSE else scores).softmax(1).mean(0)
    return found.numpy()


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
    layout.wnids = [f"n{c:08d}" for c in range(1000)]
    write_store(folder / "store", original_images(layout, items, encoding="files"))
    return Store(folder / "store"), [data for _, data in chosen]


def has_bf16() -> bool:
    """Whether this CPU multiplies bf16."""
    found = torch.cpu.get_capabilities()
    return any(found.get(unit) for unit in ("avx512_bf16", "amx_bf16"))


def measured(
    net: VGG, store: Store, files: list[bytes], protocol: str, scales: tuple[int, ...], repeats: int
) -> list[Row]:
    """A row in fp32, and one in bf16 where the CPU has it."""
    peer = theirs(net, dense=protocol == DENSE)
    best = theirs(net, dense=protocol == DENSE).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    kept: dict[str, np.ndarray] = {}

    def ours(precision: str) -> np.ndarray:
        settings = EvaluateSettings(precision=precision)
        found = compute_posteriors(net, store, MEAN, protocol, scales, settings=settings, workers=1)
        return np.stack([found[Q] for Q in scales])

    def work(name: str, make: Callable[[], np.ndarray]) -> Callable[[], float]:
        def run() -> float:
            kept[name] = make()
            return len(files)

        return run

    works = {
        "peer": work("peer", lambda: plain_loop(peer, files, protocol, scales)),
        "best": work("best", lambda: at_its_best(best, files, protocol, scales)),
        "ours": work("ours", lambda: ours("fp32")),
    }
    if has_bf16():
        works["bf16"] = work("bf16", lambda: ours("bf16"))
    times = in_turn(works, repeats)
    what = f"{protocol}, Q = {', '.join(map(str, scales))}"
    apart = float(np.abs(kept["ours"] - kept["peer"]).max())
    print(f"posteriors are at most {apart:.1e} apart")
    half = times.pop("bf16", None)
    rows = [row(f"{what}, fp32", "images/s", times, reach=2.0 if protocol == DENSE else None, apart=apart)]
    if half:
        changed = int((kept["bf16"].argmax(-1) != kept["ours"].argmax(-1)).sum())
        print(f"bf16 changes {changed} of {kept['ours'][..., 0].size} answers")
        reach = 3.5 if protocol == DENSE else 2.5
        rows.append(row(f"{what}, bf16", "images/s", times | {"ours": half}, reach=reach, changed=changed))
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
        "ours": "vggrepro",
    }
    write("evaluation", about, rows)


if __name__ == "__main__":
    main()
