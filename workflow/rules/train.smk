rule train:
    """Train a run, initialised from its parent (section 3.1)."""
    input:
        parent=PLAN.parent_weights,
        train=PLAN.train_store,
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
        settings=PLAN.run_settings,
        parent=PLAN.parent_option,
        launcher=PLAN.launcher,
        processes=PLAN.processes,
    shell:
        "{params.launcher} vggrepro train {wildcards.run} {params.parent:q}"
        " --settings {params.settings:q}"
        " --train {input.train:q}"
        " --val {input.val:q}"
        " --out {params.results}/runs/{wildcards.run}"
        " --state {params.results}/state/{wildcards.run}"
        " --processes {params.processes}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"


rule adopt:
    """A released net in place of a training: read, and checked on images."""
    input:
        file=PLAN.adopted_file,
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
        options=PLAN.adopt_options,
    shell:
        "vggrepro adopt {wildcards.run} {input.file:q} {params.options:q}"
        " --val {input.val:q}"
        " --out {params.results}/runs/{wildcards.run}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"
