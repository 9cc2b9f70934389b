from vggrepro.core.messages import with_one_message
from vggrepro.workflow.train import adopt_job, launcher, processes, staging, train_job


rule train:
    """Train a run, initialised from its parent (section 3.1)."""
    input:
        parent=PLAN.ask(train_job, "parent"),
        train=PLAN.ask(train_job, "store"),
        val="<results>/data/val",
    output:
        weights="<results>/runs/{run}/weights.safetensors",
        metrics="<results>/runs/{run}/metrics.csv",
        about="<results>/runs/{run}/run.json",
    log:
        "<results>/logs/train/{run}.log",
    benchmark:
        "<results>/benchmarks/train/{run}.tsv"
    wildcard_constraints:
        run=one_run_of(PLAN.trained),
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    resources:
        gpu=1,
    params:
        results=PLAN.results,
        settings=PLAN.ask(train_job, "settings"),
        parent=PLAN.options(train_job, "parent"),
        launcher=with_one_message(launcher),
        processes=processes,
        stage=staging,
    shell:
        "{params.launcher} vggrepro train {wildcards.run} {params.parent:q}"
        " --settings {params.settings:q}"
        " --train {input.train:q}"
        " --val {input.val:q}"
        " --out {params.results}/runs/{wildcards.run}"
        " --state {params.results}/state/{wildcards.run}"
        " --processes {params.processes}"
        " {params.stage:q}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"


rule adopt:
    """A released net in place of a training: read, and checked on images."""
    input:
        source=PLAN.ask(adopt_job, "source"),
        val="<results>/data/val",
    output:
        weights="<results>/runs/{run}/weights.safetensors",
        about="<results>/runs/{run}/adopted.json",
    log:
        "<results>/logs/adopt/{run}.log",
    benchmark:
        "<results>/benchmarks/adopt/{run}.tsv"
    wildcard_constraints:
        run=one_run_of(PLAN.adopted),
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    resources:
        gpu=1,
    params:
        results=PLAN.results,
        file=PLAN.ask(adopt_job, "file"),
        options=PLAN.options(adopt_job, "settings", "reading", "recipe", "devkit"),
    shell:
        "vggrepro adopt {wildcards.run} {params.file:q} {params.options:q}"
        " --val {input.val:q}"
        " --out {params.results}/runs/{wildcards.run}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"
