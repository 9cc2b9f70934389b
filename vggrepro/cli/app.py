"""One command, a verb per step of the way from images to report. The rules of the workflow call these verbs.

Modules are imported where a verb needs them: making a table does not wait for torch.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vggrepro.paper.runs import PROTOCOLS, Run
from vggrepro.paper.tables import best_localisation
from vggrepro.paper.tasks import COLLECTIONS, TASKS

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from pydantic import BaseModel

    from vggrepro.settings.models import Settings

    Verb = Callable[[str, object, str], argparse.ArgumentParser]

_T = TypeVar("_T", bound="BaseModel")
TRANSFER_SETS = tuple(dict.fromkeys(task.data for task in TASKS.values()))


def main(arguments: list[str] | None = None) -> int:
    """Run a verb; a user's mistake ends with one message and exit status 2."""
    given = _parser().parse_args(arguments)
    # a scheduler's SIGTERM ends like Ctrl-C: temporary files are cleared away on the way out
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        given.verb(given)
    except (ValueError, OSError) as error:
        print(f"vggrepro {given.name}: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":
            raise
        goes_on = "the same command goes on from the last state, or train on GPUs with more memory"
        advice = goes_on if given.name == "train" else "lower evaluate.batch_pixels"
        print(f"vggrepro {given.name}: out of GPU memory: {advice} ({error})", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"vggrepro {given.name}: stopped", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vggrepro", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="name", required=True, metavar="verb")

    def verb(name: str, function: object, help: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=help, description=help)
        added.set_defaults(verb=function)
        return added

    _add_images(verb)
    _add_steps_with_nets(verb)
    _add_steps_without_nets(verb)
    _add_comparisons(verb)
    _add_official_formats(verb)
    p = verb("settings", _settings, "print a preset's settings as JSON, those of one run if it is named")
    p.add_argument("preset", help='paper, tiny, smoke, or JSON such as \'{"smoke": true, "seeds": [0, 1]}\'')
    p.add_argument("run", type=_run, nargs="?")

    verb("schema", _schema, "write the reference of all settings, made from vggrepro/config.py")
    return parser


def _add_images(verb: Verb) -> None:
    """From a data set to stores of images."""
    p = verb("prepare", _prepare, "decode a data set (or draw the stand-in) into the stores that training reads")
    p.add_argument("--layout", choices=("ilsvrc", "tiny-imagenet", "stand-in"), required=True)
    p.add_argument("--path", type=Path, help="folder or archive of the data set; none for the stand-in")
    p.add_argument("--encoding", choices=("pixels", "files"), default="pixels")
    p.add_argument("--classes", type=_positive, help="take the first so many classes")
    p.add_argument("--train-per-class", type=_positive)
    p.add_argument("--val-per-class", type=_positive)
    p.add_argument("--train", type=Path, help="folder to write the training store to; if not given, it is left out")
    p.add_argument("--val", type=Path, help="folder to write the validation store to; if not given, it is left out")
    p.add_argument("--dry-run", action="store_true", help="say how many bytes the stores take, and write nothing")
    _add_workers(p)

    p = verb("rescale", _rescale, "a store of training images rescaled to S once and for all (section 3.1)")
    p.add_argument("--store", type=Path, required=True, help="prepared store of the original images")
    p.add_argument("--smallest", type=_positive, required=True, help="smallest side in pixels: S in the paper's preset")
    p.add_argument("--encoding", choices=("pixels", "jpeg"), default="pixels")
    p.add_argument("--out", type=Path, required=True, help="folder to write the store to")
    p.add_argument(
        "--dry-run", action="store_true", help="say how many bytes it takes and how exact it is; write nothing"
    )
    _add_workers(p)

    p = verb("verify", _verify, "decode every image of a data set, and list what each is and what is wrong")
    p.add_argument("--layout", choices=("ilsvrc", "tiny-imagenet"), required=True)
    p.add_argument("--path", type=Path, required=True, help="folder or archive of the data set")
    p.add_argument("--out", type=Path, required=True, help="folder for manifest.csv and problems.csv")
    _add_workers(p)


def _add_steps_with_nets(verb: Verb) -> None:
    """From images to runs, scores and boxes."""
    p = verb("train", _train, "train one run (section 3.1)")
    p.add_argument("run", type=_run, help="name of a run, such as D_256_s0")
    p.add_argument("--settings", required=True, help="the run's settings: JSON, or a preset (paper, tiny, smoke)")
    p.add_argument("--train", type=Path, required=True, help="prepared training store")
    p.add_argument("--val", type=Path, required=True, help="prepared validation store")
    p.add_argument("--parent", type=Path, help="weights of the run that it is initialised from")
    p.add_argument("--out", type=Path, required=True, help="folder for weights, metrics and run.json")
    p.add_argument("--state", type=Path, help="folder to keep the state in: an interrupted training goes on from there")
    p.add_argument("--every", type=float, default=600, help="seconds between two states")
    p.add_argument(
        "--processes", type=_positive, default=1, help="how many torchrun started, over which a batch is divided"
    )
    _add_workers(p)
    _add_device(p)

    p = verb(
        "adopt", _adopt, "a released net in place of a training: read, checked on images, written as a run of ours"
    )
    p.add_argument("run", type=_run, help="name of the run that it stands for, such as D_256-512_s0")
    p.add_argument("file", type=Path, help="Caffe's .caffemodel, MatConvNet's .mat, or PyTorch's .pth or .safetensors")
    p.add_argument("--settings", required=True, help="the model block of the settings as JSON, or a preset")
    p.add_argument(
        "--reading", default="{}", help='what its numbers mean, as JSON: {"channels": "bgr", "classes": "devkit"}'
    )
    p.add_argument("--val", type=Path, required=True, help="prepared validation store, on which it is checked")
    p.add_argument(
        "--devkit", type=Path, help="folder with meta_clsloc.mat: the devkit's order of classes is tried too"
    )
    p.add_argument("--out", type=Path, required=True, help="folder for weights and adopted.json")
    _add_workers(p)
    _add_device(p)

    p = verb("evaluate", _evaluate, "posteriors of the validation images under a protocol (section 3.2)")
    p.add_argument("run", type=_run)
    p.add_argument("protocol", choices=PROTOCOLS)
    p.add_argument("--scales", type=_numbers, required=True, help="test scales Q, such as 224,256,288")
    p.add_argument("--settings", default="{}", help="the evaluate block of the settings as JSON, or a preset")
    p.add_argument("--weights", type=Path, required=True)
    p.add_argument("--val", type=Path, required=True, help="prepared validation store")
    p.add_argument("--out", type=Path, required=True, help="folder for one score store per Q")
    _add_workers(p)
    _add_device(p)

    p = verb("boxes", _boxes, "boxes of the validation images, from a net that predicts them (appendix A)")
    p.add_argument("run", type=_run)
    p.add_argument("protocol", choices=("dense", "centre-crop"))
    p.add_argument("--scales", type=_numbers, required=True, help="test scales Q, such as 352,384")
    p.add_argument("--settings", default="{}", help="the evaluate block of the settings as JSON, or a preset")
    p.add_argument("--weights", type=Path, required=True)
    p.add_argument("--classifier", type=Path, help="weights of the net it began with, whose posteriors score the boxes")
    p.add_argument("--answers", type=Path, help="what `answers` wrote; without it: the true class of every image")
    p.add_argument("--val", type=Path, required=True, help="prepared validation store")
    p.add_argument("--out", type=Path, required=True, help="folder for one box store per Q")
    _add_workers(p)
    _add_device(p)

    p = verb("features", _features, "what a net without its last layer says of every image of a data set (appendix B)")
    p.add_argument("run", type=_run)
    p.add_argument("collection", choices=COLLECTIONS)
    p.add_argument("--path", type=Path, required=True, help="folder or zip of the data set")
    p.add_argument("--scales", type=_numbers, required=True, help="test scales Q, such as 256,384,512")
    p.add_argument("--settings", default="{}", help="the evaluate block of the settings as JSON, or a preset")
    p.add_argument("--weights", type=Path, required=True)
    p.add_argument("--out", type=Path, required=True)
    _add_workers(p)
    _add_device(p)


def _add_steps_without_nets(verb: Verb) -> None:
    """From scores and boxes to tables and the report."""
    p = verb("draw", _draw, "a small data set in the layout of VOC or Caltech, for a dry run of transfer")
    p.add_argument("set", choices=TRANSFER_SETS)
    p.add_argument("--per-class", type=int, default=0, help="images of a class (Caltech)")
    p.add_argument("--out", type=Path, required=True)

    p = verb("splits", _splits, "the random splits of a Caltech set, a file each")
    p.add_argument("set", choices=("caltech101", "caltech256"))
    p.add_argument("--path", type=Path, required=True, help="folder or zip of the data set")
    p.add_argument("--settings", default="{}", help="the transfer block of the settings as JSON, or a preset")
    p.add_argument("--out", type=Path, required=True)

    p = verb("classify", _classify, "linear SVMs on features (appendix B)")
    p.add_argument("task", choices=tuple(TASKS))
    p.add_argument("--path", type=Path, required=True, help="folder or zip of the data set: its labels")
    p.add_argument("--features", type=Path, nargs="+", required=True, help="folders of features, stacked in this order")
    p.add_argument("--splits", type=Path, nargs="+", default=[], help="the files that `splits` wrote (Caltech)")
    p.add_argument("--settings", default="{}", help="the transfer block of the settings as JSON, or a preset")
    p.add_argument("--out", type=Path, required=True)
    _add_workers(p)

    p = verb(
        "answers", _answers, "the five best labels of every image, from the best classification system (appendix A)"
    )
    p.add_argument("seed", type=int)
    p.add_argument("--scores", type=Path, required=True, help="folder of the score stores")
    p.add_argument("--out", type=Path, required=True)

    p = verb("merging", _merging, "how Table 9 moves with the parameters of merging, and examples")
    p.add_argument("--settings", required=True, help="JSON of all settings, or a preset")
    p.add_argument("--boxes", type=Path, required=True, help="folder of the box stores")
    p.add_argument("--val", type=Path, required=True, help="prepared validation store")
    p.add_argument("--out", type=Path, required=True)
    _add_workers(p)

    p = verb("table", _table, "one table, beside the published one, as JSON, CSV, Markdown, HTML and LaTeX")
    p.add_argument("number", help="1 to 12, or text")
    p.add_argument("--settings", required=True, help="JSON of all settings, or a preset")
    p.add_argument(
        "--scores",
        type=Path,
        help="folder of score stores; for Tables 8 to 10 of box stores, for 11 and 12 of SVMs' results",
    )
    p.add_argument("--runs", type=Path, help="folder of the runs, whose run.json every number is held against")
    p.add_argument("--imported", type=Path, nargs="+", default=[], help="what `import` wrote: rows of Tables 7 and 10")
    p.add_argument("--out", type=Path, required=True, help="folder for the files of the table, and for its outcomes")
    _add_workers(p)

    p = verb("whatif", _whatif, "pack score stores so that the report can fuse any of them in the browser")
    p.add_argument("--settings", required=True, help="JSON of all settings, or a preset")
    p.add_argument("--scores", type=Path, required=True, help="folder of the score stores")
    p.add_argument("--out", type=Path, required=True, help="JSON file to write")
    _add_workers(p)

    p = verb("report", _report, "one self-contained HTML page of all tables and figures, and report.tex")
    p.add_argument("--settings", required=True, help="JSON of all settings, or a preset")
    p.add_argument("--tables", type=Path, nargs="+", required=True, help="JSON files of tables")
    p.add_argument("--runs", type=Path, nargs="*", default=[], help="run.json files")
    p.add_argument(
        "--adopted", type=Path, nargs="*", default=[], help="adopted.json files: nets that were not trained here"
    )
    p.add_argument("--merging", type=Path, help="what `merging` wrote, for its figures")
    p.add_argument("--claims", type=Path, help="the claims.json that `claims` wrote")
    p.add_argument("--why", type=Path, help="what `why` wrote, for its section")
    p.add_argument("--flips", type=Path, help="what `flips` wrote, for its figure")
    p.add_argument("--whatif", type=Path, help="what `whatif` wrote: fusions in the browser")
    p.add_argument("--results", type=Path, help="folder of results: every number of the page leads to what made it")
    p.add_argument("--out", type=Path, required=True, help="folder for report.html, report.tex and figures")

    p = verb("export", _export, "all cells as tidy CSV, Parquet and JSON, and a citable bundle (RO-Crate)")
    p.add_argument("--settings", required=True, help="JSON of all settings, or a preset")
    p.add_argument("--results", type=Path, required=True, help="folder of results, such as results/smoke")
    p.add_argument("--out", type=Path, required=True, help="folder for cells and sources")
    p.add_argument("--crate", type=Path, help="zip to write the bundle to")
    _add_workers(p)

    p = verb("check", _check, "is a citable bundle whole? every file there, as it was described")
    p.add_argument("crate", type=Path, help="zip or folder that `export` wrote")


def _add_comparisons(verb: Verb) -> None:
    """What a change is worth, image by image."""
    p = verb("claims", _claims, "every claim of the paper, judged on which images each system gets wrong")
    p.add_argument("--settings", required=True, help="JSON of all settings, or a preset")
    p.add_argument("--tables", type=Path, required=True, help="folder of what `table` wrote")
    p.add_argument("--runs", type=Path, nargs="*", default=[], help="run.json files, for the claim on several GPUs")
    p.add_argument("--out", type=Path, required=True, help="folder for claims.json and claims.csv")

    p = verb("flips", _flips, "images that one system gets right and another wrong, with pictures")
    p.add_argument("systems", nargs=2, metavar="system", help="as tables write it, such as D/256/224,256,288")
    p.add_argument("--protocol", default="dense", help="dense, multi-crop, or 'multi-crop & dense'")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--scores", type=Path, required=True, help="folder of the score stores")
    p.add_argument("--val", type=Path, required=True, help="prepared validation store: pictures, names of classes")
    p.add_argument("--out", type=Path, required=True, help="folder for flips.json and the pictures")

    p = verb(
        "why", _why, "why is my number off? from a centre crop as often made to the paper's protocol, step by step"
    )
    p.add_argument("run", type=_run)
    p.add_argument("--settings", default="{}", help="the evaluate block of the settings as JSON, or a preset")
    p.add_argument("--weights", type=Path, required=True)
    p.add_argument("--val", type=Path, required=True, help="prepared validation store")
    p.add_argument("--scores", type=Path, help="folder of the score stores, for the steps that tables have")
    p.add_argument("--devkit", type=Path, help="folder with meta_clsloc.mat: the devkit's order of classes")
    p.add_argument("--out", type=Path, required=True, help="folder for why.json, why.csv and flips.csv")
    _add_workers(p)
    _add_device(p)


def _add_official_formats(verb: Verb) -> None:
    """Predictions in ILSVRC's official format."""
    p = verb(
        "import", _import, "anyone's posteriors or top-5 lists of the validation images, checked, as a score store"
    )
    p.add_argument(
        "file", type=Path, help="a row per image: .npy, .npz, .csv, .tsv, .parquet, or .txt (official format)"
    )
    p.add_argument("--name", dest="called", required=True, help="what tables call it")
    p.add_argument("--val", type=Path, help="prepared validation store: what is true of the images")
    p.add_argument(
        "--devkit", type=Path, help="folder with meta_clsloc.mat and ground truth: the same without any image"
    )
    p.add_argument("--solution", type=Path, help="LOC_val_solution.csv: boxes in a .txt are judged too")
    p.add_argument("--order", help="where rows have no ids: validation, folders, or a file that lists the images")
    p.add_argument("--ids", help="column or array with the images' ids, where it is not plain which one that is")
    p.add_argument("--classes", choices=("wnid", "sorted", "devkit"), help="what a column or a label says")
    p.add_argument("--logits", action="store_true", help="the numbers are scores before the soft-max")
    p.add_argument("--out", type=Path, required=True, help="folder to write the store to")

    p = verb("judge", _judge, "score predictions in ILSVRC's official format, whoever made them, as the devkit does")
    p.add_argument("predictions", type=Path, help="a line per validation image: up to five `label xmin ymin xmax ymax`")
    p.add_argument("--devkit", type=Path, required=True, help="folder with meta_clsloc.mat, ground truth and blacklist")
    p.add_argument("--solution", type=Path, required=True, help="LOC_val_solution.csv: the true boxes")
    p.add_argument("--labels-only", action="store_true", help="lines are up to five labels, without boxes")
    p.add_argument("--first", type=_positive, help="judge the first so many validation images alone")

    p = verb("submission", _submission, "write predictions in ILSVRC's official format, a line per validation image")
    p.add_argument("system", nargs="?", help="a row of Table 9, such as D/384/352,384; if not given, Table 10's")
    p.add_argument("--settings", required=True, help="JSON of all settings, or a preset")
    p.add_argument("--boxes", type=Path, required=True, help="folder of the box stores")
    p.add_argument("--val", type=Path, required=True, help="prepared validation store")
    p.add_argument(
        "--devkit", type=Path, required=True, help="folder with meta_clsloc.mat: the devkit's ids of classes"
    )
    p.add_argument("--labels-only", action="store_true", help="write up to five labels, without boxes")
    p.add_argument("--out", type=Path, required=True, help="file to write")
    _add_workers(p)


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads", type=_positive, default=1, help="CPU threads, for arithmetic and for reading images"
    )


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto (a GPU where there is one), cpu, cuda, cuda:1")


def _run(text: str) -> Run:
    try:
        return Run.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text!r}")
    return int(text)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers with commas between, got {text!r}") from None


def _given(text: str) -> Settings:
    from vggrepro.settings.loading import load_settings

    return load_settings(_json(text) if text.lstrip().startswith("{") else {"preset": text})


def _block(text: str, kind: type[_T], of: Callable[[Settings], _T]) -> _T:
    """A part of the settings: given as JSON itself, or that of a preset."""
    from vggrepro.core.validation import validated

    return validated(kind, _json(text), "--settings") if text.lstrip().startswith("{") else of(_given(text))


def _json(text: str, option: str = "--settings") -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{option}: no JSON: {error}, got {text[:60]!r}") from None
    return value


def _prepare(given: argparse.Namespace) -> None:
    from vggrepro.data import prepare

    prepare.prepare_stores(
        given.layout,
        given.path,
        train_folder=given.train,
        val_folder=given.val,
        classes=given.classes,
        per_class=(given.train_per_class, given.val_per_class),
        encoding=given.encoding,
        workers=given.threads,
        dry_run=given.dry_run,
    )


def _rescale(given: argparse.Namespace) -> None:
    from vggrepro.data import prepare

    prepare.prepare_rescaled(
        given.store, given.smallest, given.encoding, given.out, workers=given.threads, dry_run=given.dry_run
    )


def _verify(given: argparse.Namespace) -> None:
    from vggrepro.data import verify

    print(verify.verify_data_set(given.layout, given.path, given.out, workers=given.threads))


def _torch(given: argparse.Namespace, precision: str, processes: int = 1) -> torch.device:
    """Torch with so many threads, and the device asked for; a ValueError where it is not there."""
    import torch

    from vggrepro.core import devices

    torch.set_num_threads(given.threads)
    # torch lets convolutions drop 13 bits of an fp32 mantissa on a GPU unless it is told not to
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    # trying out algorithms pays where every batch has one shape; evaluation has thousands of shapes
    torch.backends.cudnn.benchmark = given.name == "train"
    return devices.choose_device(given.device, processes)


def _train(given: argparse.Namespace) -> None:
    from vggrepro.settings.models import RunSettings
    from vggrepro.training.processes import join_processes, on_this_machine

    settings = _block(given.settings, RunSettings, lambda preset: preset.for_run(given.run))
    neighbours = on_this_machine()
    given.threads = max(1, given.threads // neighbours)
    device = _torch(given, settings.train.precision, neighbours)
    from vggrepro.training.train import train_run

    with join_processes(given.processes, device) as world:
        train_run(
            given.run,
            settings,
            train_folder=given.train,
            val_folder=given.val,
            parent_file=given.parent,
            out=given.out,
            state_folder=given.state,
            every=given.every,
            device=device,
            workers=given.threads - 1 if device.type == "cpu" else given.threads,
            world=world,
        )


def _adopt(given: argparse.Namespace) -> None:
    from vggrepro.core.validation import validated
    from vggrepro.settings.blocks import NetSettings, ReadingSettings

    model = _block(given.settings, NetSettings, lambda preset: preset.model)
    reading = validated(ReadingSettings, _json(given.reading, "--reading"), "--reading")
    device = _torch(given, "fp32")
    from vggrepro.external.released import convert_released

    convert_released(
        given.run,
        given.file,
        model,
        reading,
        val_folder=given.val,
        devkit_folder=given.devkit,
        out=given.out,
        device=device,
        workers=given.threads,
    )


def _evaluate(given: argparse.Namespace) -> None:
    from vggrepro.settings.blocks import EvaluateSettings

    settings = _block(given.settings, EvaluateSettings, lambda preset: preset.evaluate)
    device = _torch(given, settings.precision)
    from vggrepro.evaluation.evaluate import evaluate_run

    evaluate_run(
        given.run,
        given.protocol,
        given.scales,
        settings,
        weights_file=given.weights,
        val_folder=given.val,
        out=given.out,
        device=device,
        workers=given.threads,
    )


def _why(given: argparse.Namespace) -> None:
    from vggrepro.settings.blocks import EvaluateSettings

    settings = _block(given.settings, EvaluateSettings, lambda preset: preset.evaluate)
    device = _torch(given, settings.precision)
    from vggrepro.diagnosis.measurement import measure_decomposition

    measure_decomposition(
        given.run,
        settings=settings,
        weights_file=given.weights,
        val_folder=given.val,
        scores_folder=given.scores,
        devkit=given.devkit,
        out=given.out,
        device=device,
        workers=given.threads,
    )


def _flips(given: argparse.Namespace) -> None:
    from vggrepro.diagnosis import flips

    first, second = given.systems
    flips.write_flips(
        (first, second),
        protocol=given.protocol,
        seed=given.seed,
        scores_folder=given.scores,
        val_folder=given.val,
        out=given.out,
    )


def _answers(given: argparse.Namespace) -> None:
    from vggrepro.localisation.top5_labels import write_top5_labels

    write_top5_labels(given.scores, given.seed, given.out)


def _boxes(given: argparse.Namespace) -> None:
    from vggrepro.settings.blocks import EvaluateSettings

    dense = given.protocol == "dense"
    if bool(given.answers) != dense or bool(given.classifier) != dense:
        raise ValueError(
            "dense boxes need --answers and --classifier; on a centre crop the true class is given, and neither"
        )
    settings = _block(given.settings, EvaluateSettings, lambda preset: preset.evaluate)
    device = _torch(given, settings.precision)
    from vggrepro.localisation.prediction import localise

    localise(
        given.run,
        given.protocol,
        given.scales,
        settings,
        weights_file=given.weights,
        classifier_file=given.classifier,
        answers_folder=given.answers,
        val_folder=given.val,
        out=given.out,
        device=device,
        workers=given.threads,
    )


def _draw(given: argparse.Namespace) -> None:
    from vggrepro.data import standin

    if given.set.startswith("voc"):
        standin.write_voc(given.out, given.set.removeprefix("voc"))
    else:
        standin.write_caltech(given.out, given.set.removeprefix("caltech"), per_class=given.per_class)


def _features(given: argparse.Namespace) -> None:
    from vggrepro.data.collections import open_collection
    from vggrepro.settings.blocks import EvaluateSettings

    settings = _block(given.settings, EvaluateSettings, lambda preset: preset.evaluate)
    device = _torch(given, settings.precision)
    collection = open_collection(given.collection, given.path)
    from vggrepro.transfer import features

    features.write_features(
        given.run,
        name=given.collection,
        collection=collection,
        scales=given.scales,
        settings=settings,
        weights_file=given.weights,
        out=given.out,
        device=device,
        workers=given.threads,
    )


def _splits(given: argparse.Namespace) -> None:
    from vggrepro.data.collections import Caltech
    from vggrepro.settings.blocks import TransferSettings
    from vggrepro.transfer.splits import write_splits

    settings = _block(given.settings, TransferSettings, lambda preset: preset.transfer)
    write_splits(Caltech(given.path, given.set.removeprefix("caltech")), settings, given.out)


def _classify(given: argparse.Namespace) -> None:
    from vggrepro.settings.blocks import TransferSettings
    from vggrepro.transfer.classification import classify

    settings = _block(given.settings, TransferSettings, lambda preset: preset.transfer)
    classify(
        given.task,
        path=given.path,
        features=given.features,
        splits=given.splits,
        settings=settings,
        out=given.out,
        workers=given.threads,
    )


def _merging(given: argparse.Namespace) -> None:
    from vggrepro.localisation.sensitivity import write_sensitivity

    write_sensitivity(_given(given.settings), given.boxes, given.val, given.out, given.threads)


def _table(given: argparse.Namespace) -> None:
    from vggrepro.judging.pipeline import audited_table
    from vggrepro.scores import outcomes
    from vggrepro.tables import render
    from vggrepro.tables.build import make_table_with_outcomes

    settings = _given(given.settings)
    made, of_images = make_table_with_outcomes(given.number, settings, given.scores, given.threads, given.imported)
    made = audited_table(made, settings, given.scores, given.runs)
    outcomes.write_outcomes(given.out / f"{made.name}.npz", of_images)
    render.write_table(made, given.out)


def _claims(given: argparse.Namespace) -> None:
    from vggrepro.judging import ledger
    from vggrepro.tables import lineage

    runs = [lineage.read_training(path) for path in given.runs]
    ledger.write_ledger(ledger.judge_claims(_given(given.settings), given.tables, runs), given.out)


def _whatif(given: argparse.Namespace) -> None:
    from vggrepro.report import whatif

    whatif.write_whatif(_given(given.settings), given.scores, given.out, given.threads)


def _report(given: argparse.Namespace) -> None:
    from vggrepro.report.page import write_report

    write_report(
        _given(given.settings),
        table_files=given.tables,
        run_files=given.runs,
        adopted_files=given.adopted,
        merging=given.merging,
        claims=given.claims,
        why=given.why,
        flips=given.flips,
        packed=given.whatif,
        results=given.results,
        out=given.out,
    )


def _export(given: argparse.Namespace) -> None:
    from vggrepro.report import export
    from vggrepro.report.bundle import write_bundle

    settings = _given(given.settings)
    export.export_tidy_data(settings, given.results, given.out)
    if given.crate:
        write_bundle(settings, given.results, given.crate, workers=given.threads)


def _check(given: argparse.Namespace) -> None:
    from vggrepro.report.bundle_check import check_bundle

    print(f"{given.crate}: {check_bundle(given.crate)} files, all as they were described")


def _judge(given: argparse.Namespace) -> None:
    from vggrepro.localisation import submission

    found = submission.judge_submission(
        given.predictions,
        devkit_folder=given.devkit,
        solution=given.solution,
        first=given.first,
        with_boxes=not given.labels_only,
    )
    for quantity, (errors, n) in found.counts().items():
        _print_error(quantity, errors, n)


def _print_error(quantity: str, errors: int, n: int) -> None:
    from vggrepro.scores.statistics import wilson

    low, high = wilson(errors, n)
    name = f"{quantity} error"
    print(f"{name:20} {errors / n:7.2%}  (95%: {low:.2%} to {high:.2%}), {errors:,} of {n:,} images")


def _import(given: argparse.Namespace) -> None:
    from vggrepro.external.imported import import_scores
    from vggrepro.tables.build import judge_imported

    store = import_scores(
        given.file,
        given.called,
        given.out,
        val=given.val,
        devkit_folder=given.devkit,
        solution=given.solution,
        order=given.order,
        ids=given.ids,
        classes=given.classes,
        logits=given.logits,
    )
    for quantity, errors in judge_imported(store).items():
        _print_error(quantity, int(errors.wrong.sum()), errors.n)


def _submission(given: argparse.Namespace) -> None:
    from vggrepro.localisation import submission

    submission.write_submission_file(
        _given(given.settings),
        given.system or best_localisation(),
        boxes_folder=given.boxes,
        val_folder=given.val,
        devkit_folder=given.devkit,
        out=given.out,
        with_boxes=not given.labels_only,
        workers=given.threads,
    )


def _settings(given: argparse.Namespace) -> None:
    settings = _given(given.preset)
    print((settings.for_run(given.run) if given.run else settings).model_dump_json(indent=1))


def _schema(given: argparse.Namespace) -> None:
    from vggrepro.core.files import write_text
    from vggrepro.settings.loading import SCHEMA_FILE, settings_schema

    write_text(SCHEMA_FILE, settings_schema())


if __name__ == "__main__":
    sys.exit(main())
