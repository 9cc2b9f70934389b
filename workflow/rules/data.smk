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
