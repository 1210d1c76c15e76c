# Stage 4: priors, fitted on the codes.


rule all_priors:
    input:
        expand(for_cells("<results>/cells/<cell>/priors/{prior}.npz"), prior=config["priors"]),
    message:
        "every cell's priors are fitted"


rule fit_prior:
    input:
        codes="<results>/cells/<cell>/codes.npy",
        modules=modules("fit_prior"),
    output:
        "<results>/cells/<cell>/priors/{prior}.npz",
    log:
        "<logs>/fit_prior/<cell>/{prior}.log",
    benchmark:
        "<benchmarks>/fit_prior/<cell>/{prior}.tsv"
    conda:
        "../../envs/prior.yaml"
    threads: config["threads"]
    resources:
        mem_mb=16000,
        runtime=1440,
    params:
        prior=prior_options,
    message:
        "fitting {wildcards.prior} to {wildcards.dataset}/{wildcards.model}: filters {wildcards.filters}, depth {wildcards.depth}, latent {wildcards.latent}, seed {wildcards.seed}"
    script:
        "../scripts/fit_prior.py"
