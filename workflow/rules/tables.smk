rule judge:
    """A system of somebody else, judged by its predictions in ILSVRC's official format."""
    input:
        file=PLAN.outside_file,
        truth=PLAN.judge_truth,
    output:
        "results/{folder}/outside/{system}.json",
    log:
        "results/{folder}/logs/judge.{system}.log",
    benchmark:
        "results/{folder}/benchmarks/judge.{system}.tsv"
    wildcard_constraints:
        system="[0-9]+",
    conda:
        "../../environment.yml"
    params:
        options=PLAN.judge_options,
    shell:
        "vggrepro judge {input.file:q} {params.options:q}"
        " --out {output:q}"
        " 2>&1 | tee {log:q}"


rule table:
    """One table of the paper beside the published numbers, from score stores (or box stores) alone."""
    input:
        scores=PLAN.table_scores,
        outside=PLAN.outside,
        published=PLAN.published,
    output:
        multiext(
            "results/{folder}/tables/{table}",
            ".json",
            ".csv",
            ".md",
            ".html",
            ".tex",
            ".npz",
        ),
    log:
        "results/{folder}/logs/tables/{table}.log",
    benchmark:
        "results/{folder}/benchmarks/tables/{table}.tsv"
    conda:
        "../../environment.yml"
    threads: PLAN.table_threads
    params:
        number=PLAN.table_number,
        stores=PLAN.table_folder,
        outside=PLAN.outside_option,
        settings=PLAN.table_settings,
    shell:
        "vggrepro table {params.number}"
        " --settings {params.settings:q}"
        " --scores {params.stores:q}"
        " {params.outside:q}"
        " --out results/{wildcards.folder}/tables"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"
