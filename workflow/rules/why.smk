rule why:
    """Why is my number off? From a centre crop as often made to the paper's protocol, step by step."""
    input:
        scores=PLAN.why_scores,
        weights="results/{folder}/runs/{run}/weights.safetensors",
        val="results/{folder}/data/val",
    output:
        directory("results/{folder}/why/{run}"),
    log:
        "results/{folder}/logs/why/{run}.log",
    benchmark:
        "results/{folder}/benchmarks/why/{run}.tsv"
    wildcard_constraints:
        run=one_of(PLAN.by_class),
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    resources:
        gpu=1,
    params:
        settings=PLAN.evaluate_settings,
        devkit=PLAN.devkit_option,
    shell:
        "vggrepro why {wildcards.run} {params.devkit:q}"
        " --settings {params.settings:q}"
        " --weights {input.weights:q}"
        " --val {input.val:q}"
        " --scores results/{wildcards.folder}/scores"
        " --out {output:q}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"


rule flips:
    """Images that the shallowest net gets right and the deepest wrong, and the other way round."""
    input:
        scores=PLAN.flips_scores,
        val="results/{folder}/data/val",
    output:
        directory("results/{folder}/flips"),
    log:
        "results/{folder}/logs/flips.log",
    benchmark:
        "results/{folder}/benchmarks/flips.tsv"
    conda:
        "../../environment.yml"
    params:
        systems=SHALLOW_AND_DEEP,
        seed=PLAN.settings.seeds[0],
    shell:
        "vggrepro flips {params.systems:q}"
        " --seed {params.seed}"
        " --scores results/{wildcards.folder}/scores"
        " --val {input.val:q}"
        " --out {output:q}"
        " 2>&1 | tee {log:q}"
