from vggrepro.workflow.transfer import (
    classify_job,
    draw_job,
    features_job,
    splits_job,
)


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
        size=PLAN.ask(draw_job, "size"),
    shell:
        "vggrepro draw {wildcards.set}"
        " --per-class {params.size}"
        " --out {output:q}"
        " 2>&1 | tee {log:q}"


rule features:
    """What a net without its last layer says of every image of a data set, at every test scale (appendix B)."""
    input:
        PLAN.ask(features_job, "source"),
        weights=PLAN.ask(features_job, "weights"),
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
        path=PLAN.ask(features_job, "path"),
        scales=PLAN.ask(features_job, "scales"),
        settings=PLAN.ask(features_job, "settings"),
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
        PLAN.ask(splits_job, "source"),
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
        path=PLAN.ask(splits_job, "path"),
        settings=PLAN.ask(splits_job, "settings"),
    shell:
        "vggrepro splits {wildcards.set}"
        " --path {params.path:q}"
        " --settings {params.settings:q}"
        " --out {params.results}/splits/{wildcards.set}"
        " 2>&1 | tee {log:q}"


rule classify:
    """Linear SVMs on the features of one net or two (appendix B)."""
    input:
        features=PLAN.ask(classify_job, "features"),
        splits=PLAN.ask(classify_job, "splits"),
        source=PLAN.ask(classify_job, "source"),
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
        path=PLAN.ask(classify_job, "path"),
        splits=PLAN.options(classify_job, "splits"),
        settings=PLAN.ask(classify_job, "settings"),
    shell:
        "vggrepro classify {wildcards.task}"
        " --path {params.path:q}"
        " --features {input.features:q}"
        " {params.splits:q}"
        " --settings {params.settings:q}"
        " --out {output:q}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"
