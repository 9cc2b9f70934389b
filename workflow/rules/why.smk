from vggrepro.paper.tables import SHALLOW_AND_DEEP
from vggrepro.workflow.report import flips_job, why_job


rule why:
    """Why is my number off? From a centre crop as often made to the paper's protocol, step by step."""
    input:
        scores=PLAN.ask(why_job, "scores"),
        weights="<results>/runs/{run}/weights.safetensors",
        val="<results>/data/val",
    output:
        directory("<results>/why/{run}"),
    log:
        "<results>/logs/why/{run}.log",
    benchmark:
        "<results>/benchmarks/why/{run}.tsv"
    wildcard_constraints:
        run=one_run_of(PLAN.classifiers),
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    resources:
        gpu=1,
    params:
        results=PLAN.results,
        settings=PLAN.ask(why_job, "settings"),
        devkit=PLAN.options(why_job, "devkit"),
    shell:
        "vggrepro why {wildcards.run} {params.devkit:q}"
        " --settings {params.settings:q}"
        " --weights {input.weights:q}"
        " --val {input.val:q}"
        " --scores {params.results}/scores"
        " --out {output:q}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"


rule flips:
    """Images that the shallowest net gets right and the deepest wrong, and the other way round."""
    input:
        scores=PLAN.ask(flips_job, "scores"),
        val="<results>/data/val",
    output:
        directory("<results>/flips"),
    log:
        "<results>/logs/flips.log",
    benchmark:
        "<results>/benchmarks/flips.tsv"
    conda:
        "../../environment.yml"
    params:
        results=PLAN.results,
        systems=SHALLOW_AND_DEEP,
        seed=PLAN.settings.seeds[0],
    shell:
        "vggrepro flips {params.systems:q}"
        " --seed {params.seed}"
        " --scores {params.results}/scores"
        " --val {input.val:q}"
        " --out {output:q}"
        " 2>&1 | tee {log:q}"
