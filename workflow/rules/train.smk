# Stage 2: one network per cell.
#
# Later stages have higher priorities: a trained cell is scored before the next one trains, so that results appear
# early, image sets are soon deleted, and the time left can be estimated.


rule all_models:
    """Every network, trained."""
    input:
        for_cells("<results>/cells/<cell>/weights.safetensors"),
    message:
        "every cell is trained"


rule train:
    """Train a cell's network."""
    input:
        train="<results>/datasets/{dataset}/train.npz",
        modules=modules("train", penalty_kinds),
    output:
        weights="<results>/cells/<cell>/weights.safetensors",
        history="<results>/cells/<cell>/history.parquet",
        cell="<results>/cells/<cell>/cell.json",
    log:
        "<logs>/train/<cell>.log",
    benchmark:
        "<benchmarks>/train/<cell>.tsv"
    conda:
        "../../envs/network.yaml"
    threads: config["threads"]
    resources:
        gpu=training_slots,
        gpu_mb=training_gpu_megabytes,
        mem_mb=megabytes(6000, images=2),
        runtime=minutes(training_minutes),
    params:
        cell=cell_identity,
        network=network_options,
        objective=objective_options,
        frozen_latent=lookup(within=config, dpath="models/{model}/frozen_latent"),
        precision=lookup(within=config, dpath="models/{model}/precision"),
        training=training_options,
        format=FORMAT,
        own_files=own_files(penalty_kinds),
    message:
        "training {wildcards.model} on {wildcards.dataset}: filters {wildcards.filters}, depth {wildcards.depth}, latent {wildcards.latent}, seed {wildcards.seed}"
    script:
        "../scripts/train.py"
