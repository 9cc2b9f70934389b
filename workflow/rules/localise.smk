from vggrepro.workflow.evaluate import answers_job, boxes_job, merging_job
from vggrepro.workflow.train import staging


rule answers:
    """The five best labels of every image, from the best classification system: what boxes are predicted for (appendix A)."""
    input:
        PLAN.ask(answers_job, "scores"),
    output:
        directory("<results>/answers/s{seed}"),
    log:
        "<results>/logs/answers.s{seed}.log",
    benchmark:
        "<results>/benchmarks/answers.s{seed}.tsv"
    conda:
        "../../environment.yml"
    params:
        results=PLAN.results,
    shell:
        "vggrepro answers {wildcards.seed}"
        " --scores {params.results}/scores"
        " --out {output:q}"
        " 2>&1 | tee {log:q}"


rule boxes:
    """Boxes of the validation images, at every test scale of the paper's tables in one go (appendix A)."""
    input:
        weights=PLAN.ask(boxes_job, "weights"),
        classifier=PLAN.ask(boxes_job, "classifier"),
        answers=PLAN.ask(boxes_job, "answers"),
        val="<results>/data/val",
    output:
        directory("<results>/boxes/{run}/{protocol}"),
    log:
        "<results>/logs/boxes/{run}.{protocol}.log",
    benchmark:
        "<results>/benchmarks/boxes/{run}.{protocol}.tsv"
    wildcard_constraints:
        run=one_run_of(PLAN.localisers),
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    resources:
        gpu=1,
    params:
        options=PLAN.options(boxes_job, "classifier", "answers"),
        scales=PLAN.ask(boxes_job, "scales"),
        settings=PLAN.ask(boxes_job, "settings"),
        stage=staging,
    shell:
        "vggrepro boxes {wildcards.run} {wildcards.protocol} {params.options:q}"
        " --scales {params.scales}"
        " --settings {params.settings:q}"
        " --weights {input.weights:q}"
        " --val {input.val:q}"
        " --out {output:q}"
        " {params.stage:q}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"


rule merging:
    """How Table 9 moves with the parameters of merging, and images with their boxes before and after it."""
    input:
        boxes=PLAN.ask(merging_job, "boxes"),
        val="<results>/data/val",
    output:
        directory("<results>/merging"),
    log:
        "<results>/logs/merging.log",
    benchmark:
        "<results>/benchmarks/merging.tsv"
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    params:
        results=PLAN.results,
        settings=PLAN.ask(merging_job, "settings"),
    shell:
        "vggrepro merging"
        " --settings {params.settings:q}"
        " --boxes {params.results}/boxes"
        " --val {input.val:q}"
        " --out {output:q}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"
