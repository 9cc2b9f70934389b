"""Made-up results with faithful records, packs of them, and packs that were changed by somebody."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from tests.oracles.records import made_json, write_runs
from vggrepro.core.files import write_json
from vggrepro.packs.manifest import MANIFEST
from vggrepro.packs.tables import make_tables
from vggrepro.packs.write import write_pack
from vggrepro.paper.tables import published_table
from vggrepro.scores.stores import write_scores
from vggrepro.settings.loading import load_settings
from vggrepro.settings.models import Settings

IMAGES = 40
MADE = {"commit": "0", "versions": {}, "processor": "CPU", "at": "2026-01-01T00:00:00+00:00"}


def smoke(*seeds: int, **changes: Any) -> Settings:
    return load_settings({"smoke": True, "seeds": list(seeds)} | changes)


def write_results(
    folder: Path, settings: Settings, *, nets: str = "", images: str = "0", labels: int = 0, tables: bool = True
) -> Path:
    """Runs and scores of Table 3 for all seeds, and all tables; with `nets`, the runs of these alone, such as `AB`.

    An evaluation has the same scores whichever folder it is made in; with another number `labels` its images have others.
    """
    truth = np.random.default_rng(labels).integers(0, 10, IMAGES)
    ids = [f"image{i}" for i in range(IMAGES)]
    of_nets = [e for e in published_table("3").evaluations() if not nets or e.run.net in nets]
    for evaluation in (e.seeded(seed) for e in of_nets for seed in settings.seeds):
        rng = np.random.default_rng(zlib.crc32(evaluation.path.encode()))
        posteriors = rng.dirichlet(np.ones(10), IMAGES).astype(np.float32)
        about = {"data": images, "classes": 10, "device": "CPU", "seconds": 1.0, "made": MADE}
        metadata = made_json(evaluation, settings, IMAGES) | about
        write_scores(folder / "scores" / evaluation.path, posteriors, truth, ids, metadata)
    write_runs(folder / "runs", settings, [e.seeded(seed).run for e in of_nets for seed in settings.seeds])
    attempt = {"device": "CPU", "processes": 1, "pieces": 1, "seconds": 1.0, "joules": None, "peak_bytes": 1.0}
    attempt |= {"began": MADE["at"]}
    rest = {"data": {"train": images, "val": images}, "initialised": [], "drops": [], "seconds": 1.0, "device": "CPU"}
    rest |= {"attempts": [attempt], "made": MADE}
    for file in folder.glob("runs/*/run.json"):
        write_json(file, rest | json.loads(file.read_text()))
        file.with_name("metrics.csv").write_text("epoch,val_top1,images_per_s\n1,0.5,100\n")
    if tables:
        make_tables(settings, folder, folder / "tables")
    return folder


def write_packed(folder: Path, name: str, settings: Settings, **options: Any) -> Path:
    """A pack of made-up results."""
    results = write_results(folder / name, settings, **options)
    write_pack(results, folder / f"{name}.zip", settings=settings)
    return folder / f"{name}.zip"


def forged(
    pack: Path,
    out: Path,
    files: Mapping[str, bytes] | None = None,
    change: Callable[[dict[str, Any]], None] = lambda manifest: None,
) -> Path:
    """A pack with other files, whose digests and checksums somebody corrected in the manifest, which `change` then changes."""
    with zipfile.ZipFile(pack) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members.pop(MANIFEST))
    for name, data in (files or {}).items():
        members[name] = data
        for listing in (str(Path(name).with_suffix(".xxh128")), str(Path(name).with_name("checksums.xxh128"))):
            if listing in members:
                lines = members[listing].decode().splitlines()
                own = f"{xxhash.xxh3_128_hexdigest(data)}  {Path(name).name}"
                members[listing] = "".join(
                    f"{own if line.endswith('  ' + Path(name).name) else line}\n" for line in lines
                ).encode()
    for name in {*(files or {}), *(n for n in members if n.endswith(".xxh128"))}:
        data = members[name]
        manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "sorted": False}
    change(manifest)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (members | {MANIFEST: json.dumps(manifest).encode()}).items():
            archive.writestr(name, data)
    return out
