# Stage 3: the codes of all training images.


rule all_codes:
    input:
        for_cells("<results>/cells/<cell>/codes.npy"),
    message:
        "every cell's training images are encoded"


rule encode:
    input:
        train="<results>/datasets/{dataset}/train.npz",
        weights="<results>/cells/<cell>/weights.safetensors",
        cell="<results>/cells/<cell>/cell.json",
        modules=modules("encode"),
    output:
        "<results>/cells/<cell>/codes.npy",
    log:
        "<logs>/encode/<cell>.log",
    benchmark:
        "<benchmarks>/encode/<cell>.tsv"
    conda:
        "../../envs/network.yaml"
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=16000,
        runtime=30,
    message:
        "encoding {wildcards.dataset} with {wildcards.model}: filters {wildcards.filters}, depth {wildcards.depth}, latent {wildcards.latent}, seed {wildcards.seed}"
    script:
        "../scripts/encode.py"
