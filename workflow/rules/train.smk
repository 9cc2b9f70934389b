rule train:
    """Train a run, initialised from its parent (section 3.1)."""
    input:
        parent=PLAN.parent_weights,
        train=PLAN.train_store,
        val="results/{folder}/data/val",
    output:
        weights="results/{folder}/runs/{run}/weights.safetensors",
        metrics="results/{folder}/runs/{run}/metrics.csv",
        about="results/{folder}/runs/{run}/run.json",
    log:
        "results/{folder}/logs/train/{run}.log",
    benchmark:
        "results/{folder}/benchmarks/train/{run}.tsv"
    wildcard_constraints:
        run=one_of(PLAN.trained),
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    resources:
        gpu=1,
    params:
        settings=PLAN.run_settings,
        parent=PLAN.parent_option,
        launcher=PLAN.launcher,
        processes=PLAN.processes,
    shell:
        "{params.launcher} vggrepro train {wildcards.run} {params.parent:q}"
        " --settings {params.settings:q}"
        " --train {input.train:q}"
        " --val {input.val:q}"
        " --out results/{wildcards.folder}/runs/{wildcards.run}"
        " --state results/{wildcards.folder}/state/{wildcards.run}"
        " --processes {params.processes}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"


rule adopt:
    """A released net in place of a training: read, and checked on images."""
    input:
        file=PLAN.adopted_file,
        val="results/{folder}/data/val",
    output:
        weights="results/{folder}/runs/{run}/weights.safetensors",
        about="results/{folder}/runs/{run}/adopted.json",
    log:
        "results/{folder}/logs/adopt/{run}.log",
    benchmark:
        "results/{folder}/benchmarks/adopt/{run}.tsv"
    wildcard_constraints:
        run=one_of(PLAN.adopted),
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    resources:
        gpu=1,
    params:
        options=PLAN.adopt_options,
    shell:
        "vggrepro adopt {wildcards.run} {input.file:q} {params.options:q}"
        " --val {input.val:q}"
        " --out results/{wildcards.folder}/runs/{wildcards.run}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"
