rule whatif:
    """Scores packed so that the report fuses any of them in the browser."""
    input:
        PLAN.class_scores,
    output:
        "results/{folder}/whatif/whatif.json",
    log:
        "results/{folder}/logs/whatif.log",
    benchmark:
        "results/{folder}/benchmarks/whatif.tsv"
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    params:
        settings=PLAN.whatif_settings,
    shell:
        "vggrepro whatif"
        " --settings {params.settings:q}"
        " --scores results/{wildcards.folder}/scores"
        " --out {output:q}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"


rule report:
    """One self-contained page of all tables and figures, and the same for LaTeX."""
    input:
        tables=expand("results/{{folder}}/tables/{table}.json", table=PLAN.tables),
        runs=expand("results/{{folder}}/runs/{run}/run.json", run=PLAN.trained),
        metrics=expand("results/{{folder}}/runs/{run}/metrics.csv", run=PLAN.trained),
        adopted=expand("results/{{folder}}/runs/{run}/adopted.json", run=PLAN.adopted),
        merging=PLAN.merging,
        claims="results/{folder}/claims/claims.json",
        why=PLAN.why,
        flips=PLAN.flips,
        whatif="results/{folder}/whatif/whatif.json",
    output:
        html="results/{folder}/report/report.html",
        tex="results/{folder}/report/report.tex",
        figures=directory("results/{folder}/report/figures"),
    log:
        "results/{folder}/logs/report.log",
    benchmark:
        "results/{folder}/benchmarks/report.tsv"
    conda:
        "../../environment.yml"
    params:
        settings=PLAN.table_settings,
        merging=PLAN.merging_option,
        flips=PLAN.flips_option,
    shell:
        "vggrepro report"
        " --settings {params.settings:q}"
        " --tables {input.tables:q}"
        " --runs {input.runs:q}"
        " --adopted {input.adopted:q}"
        " {params.merging:q}"
        " --claims {input.claims:q}"
        " --why {input.why:q}"
        " {params.flips:q}"
        " --whatif {input.whatif:q}"
        " --results results/{wildcards.folder}"
        " --out results/{wildcards.folder}/report"
        " 2>&1 | tee {log:q}"


rule bundle:
    """All cells as tidy data, and a citable bundle of everything but weights, images and scores."""
    input:
        tables=expand("results/{{folder}}/tables/{table}.json", table=PLAN.tables),
        runs=expand("results/{{folder}}/runs/{run}/run.json", run=PLAN.trained),
        claims="results/{folder}/claims/claims.json",
        report="results/{folder}/report/report.html",
    output:
        multiext("results/{folder}/export/cells", ".csv", ".parquet", ".json"),
        multiext("results/{folder}/export/sources", ".csv", ".parquet", ".json"),
        multiext("results/{folder}/export/claims", ".csv", ".parquet", ".json"),
        crate="results/{folder}/export/crate.zip",
    log:
        "results/{folder}/logs/export.log",
    benchmark:
        "results/{folder}/benchmarks/export.tsv"
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    params:
        settings=PLAN.table_settings,
    shell:
        "vggrepro export"
        " --settings {params.settings:q}"
        " --results results/{wildcards.folder}"
        " --out results/{wildcards.folder}/export"
        " --crate {output.crate:q}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"
