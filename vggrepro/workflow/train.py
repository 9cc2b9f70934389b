"""The weights of runs, by training or from released nets: what the rules of `train.smk` ask."""

from __future__ import annotations

from functools import cache
from typing import Any

from vggrepro.paper.runs import Run
from vggrepro.training.signals import TORCHRUN_SIGNALS
from vggrepro.workflow.plan import JobNeeds, Plan


@cache
def train_job(plan: Plan, run: str) -> JobNeeds:
    """What a run is trained from: its parent's weights, its store of images, and all settings that decide its weights.

    PAPER 3.1: a run at one S may be trained on images that were rescaled to it once and for all.
    """
    settings, trained = plan.settings, Run.parse(run)
    rescaled = settings.data.rescaled != "no" and not trained.jitters
    return {
        "parent": parent_weights(plan, trained),
        "store": f"{plan.root}/data/train" + (f"-{trained.S}" if rescaled else ""),
        "settings": settings.for_run(trained).model_dump_json(),
    }


def parent_weights(plan: Plan, run: Run) -> list[str]:
    """The weights that a run is initialised from; none for a run from random weights."""
    parent = plan.settings.parent(run)
    return [weights_file(plan, parent)] if parent else []


def weights_file(plan: Plan, run: Run) -> str:
    """The weights that a run is tested with."""
    return f"{plan.root}/runs/{plan.weights_of(run)}/weights.safetensors"


def processes(wildcards: Any, resources: Any) -> int:  # noqa: ANN401
    """How many processes train a run: one a GPU. No setting of the run, so that a move to other GPUs retrains nothing."""
    return max(1, int(resources.get("gpu", 1)))


def staging(wildcards: Any, resources: Any) -> list[str]:  # noqa: ANN401
    """Where a job's node copies stores to before it reads them, as the profile says; no setting of the results either."""
    folder, most = resources.get("stage_folder"), resources.get("stage_gb")
    return ["--stage", str(folder), *(["--stage-gb", str(most)] if most else [])] if folder else []


def launcher(wildcards: Any, threads: int, resources: Any) -> str:  # noqa: ANN401
    """What starts the processes of a training: nothing, torchrun, or on several nodes one torchrun each.

    Raises ValueError where the nodes cannot have equal numbers of GPUs.
    """
    count, nodes = processes(wildcards, resources), int(resources.get("nodes", 1))
    if count == nodes == 1:
        return ""
    if count % nodes:
        raise ValueError(f"train: {count} GPUs on {nodes} nodes: as many on each are needed")
    torchrun = f"torchrun --signals-to-handle={TORCHRUN_SIGNALS} --no-python --nproc-per-node={count // nodes}"
    if nodes == 1:
        return f"{torchrun} --standalone"
    # one port a job: several jobs may share a node
    return (
        f"{resources.get('mpi', 'srun')} --nodes={nodes} --ntasks={nodes} --cpus-per-task={max(1, threads // nodes)} "
        f"{torchrun} --nnodes={nodes} --rdzv-backend=c10d --rdzv-id=$SLURM_JOB_ID "
        "--rdzv-endpoint=$(hostname):$((20000 + SLURM_JOB_ID % 20000))"
    )


def adopt_job(plan: Plan, run: str) -> JobNeeds:
    """The file of the released net that stands for a run, how it is read and sized, and how it was trained.

    A file that is fetched comes with the record of its download.
    """
    settings = plan.settings
    release = settings.releases[Run.parse(run)]
    return {
        "source": plan.fetched(release.file) or release.file,
        "file": release.file,
        "settings": settings.model.model_dump_json(exclude={"width", "fc"}),
        "reading": release.reading.model_dump_json(exclude_none=True),
        "recipe": release.recipe,
        "devkit": settings.devkit and settings.devkit.folder,
    }
