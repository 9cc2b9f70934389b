"""Files that were changed at random, read by every door: `python -m tests.hostile ATTEMPTS` prints what became of each kind.

A good file of a kind is cut, has bytes flipped, or numbers in it replaced by huge and negative ones. Its reader may read it
or refuse it with one message (ValueError or OSError). Anything else is a traceback; ten seconds are a hang.
"""

from __future__ import annotations

import io
import json
import random
import signal
import struct
import sys
import tempfile
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

SECONDS = 10
HUGE = [2**31 - 1, 2**31, 2**32 - 1, 65500, 10**9, 2**62, 2**63 - 1, 2**64 - 1, 0]
WORDS = [b"-1", b"99999999999", b"1e999", b"null", b"[]", b"{}", b'""', b"nan", b"\x00", b"\x1b[2J", b"true"]


def mutated(good: bytes, rng: random.Random) -> bytes:
    """A good file with one to four changes."""
    data = bytearray(good)
    for _ in range(rng.randint(1, 4)):
        place, how = rng.randrange(len(data)) if data else 0, rng.randrange(6)
        # headers are at the beginning
        place = min(place, rng.randrange(1, 600)) if rng.random() < 0.6 else place
        if how == 0:
            del data[place:]
        elif how == 1:
            data[place : place + 1] = bytes([rng.randrange(256)])
        elif how == 2:
            kind = rng.choice(["<I", ">I", "<Q", ">Q", ">H"])
            size = struct.calcsize(kind)
            data[place : place + size] = struct.pack(kind, rng.choice(HUGE) % 2 ** (8 * size))
        elif how == 3:
            data[place : place + rng.randrange(9)] = rng.choice(WORDS)
        elif how == 4:
            data[place:place] = data[place : place + rng.randrange(64)]
        else:
            del data[place : place + rng.randrange(1, 40)]
    return bytes(data)


def good_files(folder: Path) -> dict[str, tuple[bytes, Callable[[Path], object]]]:
    """A good file of each kind by the name that it is read under, and its reader."""
    import tarfile

    import torch
    from PIL import Image
    from safetensors.torch import save
    from scipy.io import savemat

    from tests.packs.made import smoke, write_packed
    from vggrepro.data.store import decode
    from vggrepro.data.tars import tar_members
    from vggrepro.external.formats import read_released_net
    from vggrepro.external.score_files import read_score_file
    from vggrepro.packs.manifest import open_pack
    from vggrepro.report.bundle_check import check_bundle
    from vggrepro.settings.loading import load_settings

    rng = np.random.default_rng(0)
    pixels = Image.fromarray(rng.integers(0, 255, (40, 50, 3), np.uint8))
    posteriors = rng.dirichlet(np.ones(10), 12).astype(np.float32)
    names = {f"image{i}" for i in range(12)}
    parts = ("features.0", "classifier.0", "classifier.3", "classifier.6")
    net = {f"{part}.{kind}": torch.zeros(size) for part in parts for kind, size in (("weight", (4, 3)), ("bias", (4,)))}

    def made(write: Callable[[io.BytesIO], object]) -> bytes:
        buffer = io.BytesIO()
        write(buffer)
        return buffer.getvalue()

    def tar(buffer: io.BytesIO) -> None:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for i in range(4):
                member = tarfile.TarInfo(f"n{i:08d}.JPEG")
                member.size = 700
                archive.addfile(member, io.BytesIO(bytes(700)))

    def crate(buffer: io.BytesIO) -> None:
        graph = [{"@id": "ro-crate-metadata.json", "@type": "CreativeWork"}, {"@id": "./", "@type": "Dataset"}]
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("ro-crate-metadata.json", json.dumps({"@context": "x", "@graph": graph}))
            archive.writestr("tables/table03.csv", "model,error\n")

    def image(path: Path) -> object:
        return decode(path.read_bytes(), path.name)

    def scores(path: Path) -> object:
        return read_score_file(path, names, 10)

    def pack(path: Path) -> object:
        return open_pack(path).unpack(path.with_name("unpacked"))

    csv = "id," + ",".join(f"c{i}" for i in range(10)) + "\n"
    csv += "".join(f"image{i}," + ",".join(map(str, row)) + "\n" for i, row in enumerate(posteriors))
    layers = np.array([{"weights": np.ones((3, 3)), "name": "x"}], object)
    settings = {"smoke": True, "seeds": [0, 1], "train": {"epochs": 30}, "imported": {"A": {"file": "x.npy"}}}
    return {
        "a.jpg": (made(lambda b: pixels.save(b, "JPEG")), image),
        "b.jpg": (made(lambda b: pixels.save(b, "JPEG", progressive=True)), image),
        "a.png": (made(lambda b: pixels.save(b, "PNG")), image),
        "a.npy": (made(lambda b: np.save(b, posteriors)), scores),
        "a.npz": (made(lambda b: np.savez_compressed(b, p=posteriors)), scores),
        "a.csv": (csv.encode(), scores),
        "a.txt": (b"1 2 3 4 5\n" * 12, scores),
        "a.json": (json.dumps(posteriors.tolist()).encode(), scores),
        "a.mat": (made(lambda b: savemat(b, {"layers": layers}, do_compression=True)), read_released_net),
        "b.mat": (made(lambda b: savemat(b, {"layers": layers})), read_released_net),
        "a.pth": (made(lambda b: torch.save(net, b)), read_released_net),
        "a.safetensors": (save(net), read_released_net),
        "a.tar": (made(tar), lambda path: list(tar_members(path))),
        "a.zip": (made(crate), check_bundle),
        "pack": (write_packed(folder, "packed", smoke(0), nets="A", tables=False).read_bytes(), pack),
        "settings": (json.dumps(settings).encode(), lambda path: load_settings(_parsed(path))),
    }


def _parsed(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise ValueError("no JSON: another door") from None
    if not isinstance(value, dict):
        raise ValueError("no settings: another door")
    return value


def attempt(read: Callable[[Path], object], path: Path) -> str:
    """What becomes of reading a file: right, message, traceback or hang."""

    def stop(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        read(path)
    except TimeoutError:
        return "hang"
    except (ValueError, OSError):
        return "message"
    except BaseException:
        traceback.print_exc()
        return "traceback"
    finally:
        signal.alarm(0)
    return "right"


def main(attempts: int, seed: int = 0) -> dict[str, object]:
    """Counts of what became of each kind, and the peak of the memory in bytes."""
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as name:
        for file, (good, read) in good_files(Path(name)).items():
            rng, path = random.Random(f"{file} {seed}"), Path(name) / file
            path.write_bytes(good)
            counts[file] = Counter({"good file": attempt(read, path) == "right"})
            for number in range(attempts):
                path.write_bytes(mutated(good, rng))
                counts[file][attempt(read, path)] += 1
                if counts[file]["traceback"] + counts[file]["hang"] == 1:
                    (Path(tempfile.gettempdir()) / f"hostile-{number}-{file}").write_bytes(path.read_bytes())
    return {"counts": counts, "bytes": peak_memory()}


def peak_memory() -> int:
    """The largest memory that this process has had, in bytes. `ru_maxrss` would count its parent, too."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:]))))
