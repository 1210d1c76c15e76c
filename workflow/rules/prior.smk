# Stage 4: priors fitted to the codes, and how Gaussian the codes are.


rule all_priors:
    """Every prior of every cell, fitted."""
    input:
        for_models("<results>/cells/<cell>/priors/{prior}.npz", "prior", grid.model_priors),
    message:
        "every cell's priors are fitted"


rule all_latent_statistics:
    """How Gaussian every cell's codes are."""
    input:
        for_cells("<results>/cells/<cell>/latent.parquet"),
    message:
        "every cell's codes are measured"


rule fit_prior:
    """Fit a prior to the codes of a cell's training images."""
    input:
        codes="<results>/cells/<cell>/codes.npy",
        modules=modules("fit_prior", prior_kind),
    output:
        "<results>/cells/<cell>/priors/{prior}.npz",
    log:
        "<logs>/fit_prior/<cell>/{prior}.log",
    benchmark:
        "<benchmarks>/fit_prior/<cell>/{prior}.tsv"
    priority: 2
    conda:
        "../../envs/prior.yaml"
    threads: config["threads"]
    resources:
        gpu=prior_slots,
        mem_mb=megabytes(6000, more=prior_megabytes),
        runtime=minutes(prior_minutes),
    params:
        prior=prior_options,
        format=FORMAT,
        own_files=own_files(prior_kind),
    message:
        "fitting {wildcards.prior} to {wildcards.dataset}/{wildcards.model}: filters {wildcards.filters}, depth {wildcards.depth}, latent {wildcards.latent}, seed {wildcards.seed}"
    script:
        "../scripts/fit_prior.py"


rule latent_statistics:
    """Measure how Gaussian a cell's codes are."""
    input:
        train="<results>/cells/<cell>/codes.npy",
        test="<results>/cells/<cell>/test_codes.npy",
        priors=expand("<results>/cells/<cell>/priors/{prior}.npz", prior=LIKELIHOOD_PRIORS.values(), allow_missing=True),
        modules=modules("latent_statistics"),
    output:
        "<results>/cells/<cell>/latent.parquet",
    log:
        "<logs>/latent_statistics/<cell>.log",
    benchmark:
        "<benchmarks>/latent_statistics/<cell>.tsv"
    priority: 2
    conda:
        "../../envs/prior.yaml"
    threads: config["threads"]
    resources:
        mem_mb=megabytes(2000, codes=6),
        runtime=minutes(10),
    params:
        cell=cell_identity,
        likelihood_priors=LIKELIHOOD_PRIORS,
    message:
        "measuring the codes of {wildcards.dataset}/{wildcards.model}: filters {wildcards.filters}, depth {wildcards.depth}, latent {wildcards.latent}, seed {wildcards.seed}"
    script:
        "../scripts/latent_statistics.py"
