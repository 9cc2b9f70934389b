from vggrepro.workflow.evaluate import evaluate_elsewhere_job, evaluate_job
from vggrepro.workflow.train import staging


rule evaluate:
    """Posteriors of the validation images, at every test scale of the paper's tables in one go (section 3.2)."""
    input:
        weights=PLAN.ask(evaluate_job, "weights"),
        val="<results>/data/val",
    output:
        directory("<results>/scores/{run}/{protocol}"),
    log:
        "<results>/logs/evaluate/{run}.{protocol}.log",
    benchmark:
        "<results>/benchmarks/evaluate/{run}.{protocol}.tsv"
    wildcard_constraints:
        run=one_run_of(PLAN.classifiers),
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    resources:
        gpu=1,
    params:
        scales=PLAN.ask(evaluate_job, "scales"),
        settings=PLAN.ask(evaluate_job, "settings"),
        stage=staging,
    shell:
        "vggrepro evaluate {wildcards.run} {wildcards.protocol}"
        " --scales {params.scales}"
        " --settings {params.settings:q}"
        " --weights {input.weights:q}"
        " --val {input.val:q}"
        " --out {output:q}"
        " {params.stage:q}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"


use rule evaluate as evaluate_elsewhere with:
    input:
        weights=PLAN.ask(evaluate_elsewhere_job, "weights"),
        val="<results>/validation/{reference}",
    output:
        directory("<results>/scores/{run}@{reference}/{protocol}"),
    log:
        "<results>/logs/evaluate/{run}@{reference}.{protocol}.log",
    benchmark:
        "<results>/benchmarks/evaluate/{run}@{reference}.{protocol}.tsv"
    wildcard_constraints:
        run=one_run_of(PLAN.classifiers),
        reference=one_of(PLAN.validation),
    params:
        scales=PLAN.ask(evaluate_elsewhere_job, "scales"),
        settings=PLAN.ask(evaluate_elsewhere_job, "settings"),
        stage=staging,
