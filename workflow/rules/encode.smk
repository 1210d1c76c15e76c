# Stage 3: the codes of all images.


rule all_codes:
    """The codes of every cell's images."""
    input:
        for_cells("<results>/cells/<cell>/codes.npy"),
    message:
        "every cell's images are encoded"


rule encode:
    """Encode a cell's training and test images."""
    input:
        train="<results>/datasets/{dataset}/train.npz",
        test="<results>/datasets/{dataset}/test.npz",
        weights="<results>/cells/<cell>/weights.safetensors",
        cell="<results>/cells/<cell>/cell.json",
        modules=modules("encode"),
    output:
        train="<results>/cells/<cell>/codes.npy",
        test="<results>/cells/<cell>/test_codes.npy",
    log:
        "<logs>/encode/<cell>.log",
    benchmark:
        "<benchmarks>/encode/<cell>.tsv"
    priority: 1
    conda:
        "../../envs/network.yaml"
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=megabytes(6000, images=2, codes=1),
        runtime=minutes(10),
    params:
        codes=lookup(within=config, dpath="models/{model}/codes"),
        precision=lookup(within=config, dpath="models/{model}/precision"),
        format=FORMAT,
    message:
        "encoding {wildcards.dataset} with {wildcards.model}: filters {wildcards.filters}, depth {wildcards.depth}, latent {wildcards.latent}, seed {wildcards.seed}"
    script:
        "../scripts/encode.py"
