from vggrepro.workflow.data import (
    fetch_job,
    manifest_job,
    prepare_job,
    rescale_job,
    source_job,
    validation_job,
)


rule fetch:
    """A data set or a released net from where it is published; only where a setting says `fetch`."""
    output:
        "<downloads>/{download}/fetched.json",
    log:
        "<results>/logs/fetch/{download}.log",
    # nodes of a cluster seldom reach the net
    localrule: True
    conda:
        "../../environment.yml"
    params:
        options=PLAN.options(fetch_job),
    shell:
        "vggrepro fetch {wildcards.download} {params.options:q}" " 2>&1 | tee {log:q}"


rule prepare:
    """Decode every image of a split once and write the store that is read from then on; draw the stand-in if need be."""
    input:
        PLAN.ask(source_job, "fetched"),
    output:
        directory("<results>/data/{split}"),
    log:
        "<results>/logs/prepare/{split}.log",
    benchmark:
        "<results>/benchmarks/prepare/{split}.tsv"
    wildcard_constraints:
        split="train|val",
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    params:
        options=PLAN.options(prepare_job),
    shell:
        "vggrepro prepare {params.options:q}"
        " --{wildcards.split} {output:q}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"


rule prepare_elsewhere:
    """Other validation images of the same classes, as ImageNetV2's; only where the setting validation names them."""
    input:
        PLAN.ask(validation_job, "fetched"),
        val="<results>/data/val",
    output:
        directory("<results>/validation/{reference}"),
    log:
        "<results>/logs/validation/{reference}.log",
    benchmark:
        "<results>/benchmarks/validation/{reference}.tsv"
    wildcard_constraints:
        reference=one_of(PLAN.validation),
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    params:
        options=PLAN.options(validation_job, "path", "encoding"),
    shell:
        "vggrepro prepare --layout numbered {params.options:q}"
        " --like {input.val:q}"
        " --val {output:q}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"


rule rescale:
    """Training images rescaled to one S once and for all (section 3.1); only where data.rescaled asks for it."""
    input:
        "<results>/data/train",
    output:
        directory("<results>/data/train-{S}"),
    log:
        "<results>/logs/rescale/{S}.log",
    benchmark:
        "<results>/benchmarks/rescale/{S}.tsv"
    wildcard_constraints:
        S="[0-9]+",
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    params:
        options=PLAN.options(rescale_job),
    shell:
        "vggrepro rescale {params.options:q}"
        " --store {input:q}"
        " --out {output:q}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"


rule manifest:
    """Decode every image of the data set, and list what each is and what is wrong."""
    input:
        PLAN.ask(source_job, "fetched"),
    output:
        "<results>/verified/manifest.csv",
    log:
        "<results>/logs/verify.log",
    benchmark:
        "<results>/benchmarks/verify.tsv"
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    params:
        results=PLAN.results,
        options=PLAN.options(manifest_job),
    shell:
        "vggrepro verify {params.options:q}"
        " --out {params.results}/verified"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"
