"""Results of SVMs on random nets and drawn data sets, made by the verbs that the rules call: what several rooms test with."""

from __future__ import annotations

from pathlib import Path

from vggrepro import cli
from vggrepro.data import transfer_standin
from vggrepro.nets.initialisation import initialise_randomly
from vggrepro.nets.vgg import VGG
from vggrepro.nets.weights import save_weights
from vggrepro.paper.runs import Run, members_name
from vggrepro.paper.tasks import COLLECTIONS, TASKS
from vggrepro.settings.blocks import NetSettings, TransferSettings

MEAN = (120.0, 110.0, 100.0)
NETS = [Run(net, "256-512") for net in "DE"]
SETTINGS = TransferSettings(caltech101_train=6, caltech101_test=5, caltech256_train=6, C=(0.1, 1.0, 10.0))


def draw_sets(root: Path) -> None:
    """A small data set in each layout, by the names that tasks give them."""
    transfer_standin.write_voc(root / "voc2007", "2007")
    transfer_standin.write_voc(root / "voc2012", "2012")
    transfer_standin.write_caltech(root / "caltech101", "101", per_class=13)
    transfer_standin.write_caltech(root / "caltech256", "256", per_class=13)


def random_net(run: Run) -> VGG:
    net = VGG(run.net, 10, NetSettings(scale_unit=4, width=1, fc=24))
    initialise_randomly(net, "he", ord(run.net))
    return net.eval()


def run_verb(verb: str, *arguments: str | Path) -> None:
    assert cli.main([verb, *map(str, arguments)]) == 0


def write_results(sets: Path, root: Path) -> None:
    """Weights, features (`f`), splits and results (`transfer`) of all tasks, with each net and with both, below `root`."""
    settings = SETTINGS.model_dump_json()
    for run in NETS:
        weights = root / f"{run.name}.safetensors"
        save_weights(weights, random_net(run), run, MEAN, [f"n{i:08d}" for i in range(10)])
        for name in COLLECTIONS:
            task = next(t for t in TASKS.values() if name in t.collections)
            options = ("--path", sets / task.data, "--weights", weights, "--settings", "smoke")
            scales = ",".join(map(str, task.scales))
            run_verb("features", run.name, name, *options, "--scales", scales, "--out", root / "f" / run.name / name)
    for name in ("caltech101", "caltech256"):
        run_verb("splits", name, "--path", sets / name, "--settings", settings, "--out", root / "splits" / name)
    for name, task in TASKS.items():
        splits = [root / "splits" / task.data / f"{k}.csv" for k in range(3)] if "caltech" in name else []
        options = (
            "--path",
            sets / task.data,
            "--settings",
            settings,
            *(["--splits", *splits] if splits else []),
        )
        for members in ([NETS[0]], [NETS[1]], NETS):
            features = [root / "f" / run.name / c for c in task.collections for run in members]
            out = root / "transfer" / name / members_name(tuple(members), 0)
            run_verb("classify", name, "--features", *features, *options, "--out", out)
