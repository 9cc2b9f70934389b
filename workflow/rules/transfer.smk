rule draw:
    """A small data set in the layout of VOC or Caltech, where none is given."""
    output:
        directory("<results>/data/drawn/{set}"),
    log:
        "<results>/logs/draw/{set}.log",
    benchmark:
        "<results>/benchmarks/draw/{set}.tsv"
    conda:
        "../../environment.yml"
    params:
        size=PLAN.drawn_size,
    shell:
        "vggrepro draw {wildcards.set}"
        " --per-class {params.size}"
        " --out {output:q}"
        " 2>&1 | tee {log:q}"


rule features:
    """What a net without its last layer says of every image of a data set, at every test scale (appendix B)."""
    input:
        PLAN.collection_drawn,
        weights="<results>/runs/{run}/weights.safetensors",
    output:
        directory("<results>/features/{run}/{collection}"),
    log:
        "<results>/logs/features/{run}.{collection}.log",
    benchmark:
        "<results>/benchmarks/features/{run}.{collection}.tsv"
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    resources:
        gpu=1,
    params:
        path=PLAN.collection_path,
        scales=PLAN.collection_scales,
        settings=PLAN.features_settings,
    shell:
        "vggrepro features {wildcards.run} {wildcards.collection}"
        " --path {params.path:q}"
        " --scales {params.scales}"
        " --settings {params.settings:q}"
        " --weights {input.weights:q}"
        " --out {output:q}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"


rule splits:
    """The random splits of a Caltech set, in files."""
    input:
        PLAN.set_drawn,
    output:
        expand(
            "<results>/splits/{{set}}/{k}.csv",
            k=range(PLAN.settings.transfer.splits),
        ),
    log:
        "<results>/logs/splits/{set}.log",
    benchmark:
        "<results>/benchmarks/splits/{set}.tsv"
    conda:
        "../../environment.yml"
    params:
        results=PLAN.results,
        path=PLAN.set_path,
        settings=PLAN.splits_settings,
    shell:
        "vggrepro splits {wildcards.set}"
        " --path {params.path:q}"
        " --settings {params.settings:q}"
        " --out {params.results}/splits/{wildcards.set}"
        " 2>&1 | tee {log:q}"


rule classify:
    """Linear SVMs on the features of one net or two (appendix B)."""
    input:
        unpack(PLAN.task_inputs),
    output:
        directory("<results>/transfer/{task}/{members}"),
    log:
        "<results>/logs/classify/{task}.{members}.log",
    benchmark:
        "<results>/benchmarks/classify/{task}.{members}.tsv"
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    params:
        path=PLAN.task_path,
        splits=PLAN.splits_option,
        settings=PLAN.classify_settings,
    shell:
        "vggrepro classify {wildcards.task}"
        " --path {params.path:q}"
        " --features {input.features:q}"
        " {params.splits:q}"
        " --settings {params.settings:q}"
        " --out {output:q}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"
