rule prepare:
    """Decode every image once and write the two stores that training reads; draw the stand-in where no data set is given."""
    output:
        train=directory("results/{folder}/data/train"),
        val=directory("results/{folder}/data/val"),
    log:
        "results/{folder}/logs/prepare.log",
    benchmark:
        "results/{folder}/benchmarks/prepare.tsv"
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    params:
        options=PLAN.prepare_options,
    shell:
        "vggrepro prepare {params.options:q}"
        " --train {output.train:q}"
        " --val {output.val:q}"
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
