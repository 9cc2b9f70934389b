"""Commands that make the weights of a run: by training, or from a released net."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from vggrepro.cli.app import command_group
from vggrepro.cli.options import NO_STAGE, Machine, Positive, RunName, Stage, ValStore, about, json_option, read_block

command = command_group("Weights")
ONE_THREAD = Machine()


@command
def train(
    run: RunName,
    /,
    *,
    settings: Annotated[str, about("the run's settings as JSON, or a preset (paper, tiny, smoke)")],
    train: Annotated[Path, about("prepared training store")],
    val: ValStore,
    parent: Annotated[Path | None, about("weights of the run that it is initialised from")] = None,
    out: Annotated[Path, about("folder for weights, metrics and run.json")],
    state: Annotated[Path | None, about("folder for checkpoints: an interrupted training resumes from there")] = None,
    every: Annotated[float, about("seconds between two checkpoints")] = 600,
    processes: Annotated[Positive, about("how many processes torchrun started; a batch is divided over them")] = 1,
    stage: Stage = NO_STAGE,
    machine: Machine = ONE_THREAD,
) -> None:
    """Train one run (section 3.1)."""
    from vggrepro.settings.models import RunSettings
    from vggrepro.training.processes import join_processes, processes_on_this_machine

    run_settings = read_block(settings, RunSettings, lambda preset: preset.for_run(run))
    neighbours = processes_on_this_machine()
    machine = replace(machine, threads=max(1, machine.threads // neighbours))
    # before a GPU is taken
    with stage.stores(train, val, workers=machine.threads) as (train_folder, val_folder):
        device = machine.start_torch(
            run_settings.train.precision,
            instructions=run_settings.instructions,
            processes=neighbours,
            same_shapes=True,
        )
        from vggrepro.training.train import train_run

        with join_processes(processes, device) as group:
            train_run(
                run,
                run_settings,
                train_folder=train_folder,
                val_folder=val_folder,
                initial_weights=parent,
                out=out,
                checkpoint_folder=state,
                every=every,
                device=device,
                workers=machine.threads - 1 if device.type == "cpu" else machine.threads,
                group=group,
            )


@command
def adopt(
    run: RunName,
    file: Annotated[Path, about("Caffe's .caffemodel, MatConvNet's .mat, or PyTorch's .pth or .safetensors")],
    /,
    *,
    settings: Annotated[str, about("the model block of the settings as JSON, or a preset")],
    reading: Annotated[str, about('what its numbers mean, as JSON: {"channels": "bgr", "classes": "devkit"}')] = "{}",
    recipe: Annotated[
        Literal["torchvision", "mmpretrain"] | None, about("how it was trained, where its digest does not say")
    ] = None,
    val: ValStore,
    devkit: Annotated[
        Path | None, about("folder with meta_clsloc.mat: the devkit's order of classes is tried too")
    ] = None,
    out: Annotated[Path, about("folder for weights and adopted.json")],
    machine: Machine = ONE_THREAD,
) -> None:
    """Take a released net in place of a training: read it, check it on images, write it as a run of ours."""
    from vggrepro.core.validation import validated
    from vggrepro.settings.blocks import NetSettings, ReadingSettings

    model = read_block(settings, NetSettings, lambda preset: preset.model)
    read_as = validated(ReadingSettings, json_option(reading, "--reading"), "--reading")
    device = machine.start_torch("fp32")
    from vggrepro.external.released import convert_released

    convert_released(
        run,
        file=file,
        model=model,
        declared=read_as,
        recipe=recipe,
        val_folder=val,
        devkit_folder=devkit,
        out=out,
        device=device,
        workers=machine.threads,
    )
