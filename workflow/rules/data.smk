rule prepare:
    """Decode every image of a split once and write the store that is read from then on; draw the stand-in if need be."""
    output:
        directory("results/{folder}/data/{split}"),
    log:
        "results/{folder}/logs/prepare/{split}.log",
    benchmark:
        "results/{folder}/benchmarks/prepare/{split}.tsv"
    wildcard_constraints:
        split="train|val",
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    params:
        options=PLAN.prepare_options,
    shell:
        "vggrepro prepare {params.options:q}"
        " --{wildcards.split} {output:q}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"


rule rescale:
    """Training images rescaled to one S once and for all (section 3.1); only where data.rescaled asks for it."""
    input:
        "results/{folder}/data/train",
    output:
        directory("results/{folder}/data/train-{S}"),
    log:
        "results/{folder}/logs/rescale/{S}.log",
    benchmark:
        "results/{folder}/benchmarks/rescale/{S}.tsv"
    wildcard_constraints:
        S="[0-9]+",
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    params:
        options=PLAN.rescale_options,
    shell:
        "vggrepro rescale {params.options:q}"
        " --store {input:q}"
        " --out {output:q}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"


rule manifest:
    """Decode every image of the data set, and list what each is and what is wrong."""
    output:
        "results/{folder}/verified/manifest.csv",
    log:
        "results/{folder}/logs/verify.log",
    benchmark:
        "results/{folder}/benchmarks/verify.tsv"
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    params:
        options=PLAN.verify_options,
    shell:
        "vggrepro verify {params.options:q}"
        " --out results/{wildcards.folder}/verified"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"
