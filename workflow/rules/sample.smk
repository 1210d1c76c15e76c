# Stage 5: the image sets that are scored: reconstructions, decoded midpoints, and decoded samples of every prior.
#
# They are large and computed in seconds, so each is deleted after its last use (`--notemp` keeps them). A gallery with
# a few images of each is kept, so that drawing needs no new samples.


rule all_samples:
    """Every cell's image sets: reconstructions, midpoints, and samples from its priors."""
    input:
        expand(for_cells("<results>/cells/<cell>/images/{name}.npy"), name=IMAGE_SETS),
    message:
        "every cell's image sets are complete"


rule sample:
    """Decode a cell's reconstructions, its midpoints, and samples from its priors."""
    input:
        train="<results>/datasets/{dataset}/train.npz",
        test="<results>/datasets/{dataset}/test.npz",
        weights="<results>/cells/<cell>/weights.safetensors",
        cell="<results>/cells/<cell>/cell.json",
        priors=expand("<results>/cells/<cell>/priors/{prior}.npz", prior=PRIORS, allow_missing=True),
        modules=modules("sample", sampled_kinds),
    output:
        gallery="<results>/cells/<cell>/gallery.npz",
        images=temp(expand("<results>/cells/<cell>/images/{name}.npy", name=IMAGE_SETS, allow_missing=True)),
    log:
        "<logs>/sample/<cell>.log",
    benchmark:
        "<benchmarks>/sample/<cell>.tsv"
    priority: 3
    conda:
        "../../envs/prior.yaml"
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=megabytes(8000, images=2),
        runtime=minutes(10),
    params:
        images=lookup(within=config, dpath="scoring/images"),
        seed=lookup(within=config, dpath="scoring/seed"),
        decoding=decoding,
        format=FORMAT,
        own_files=own_files(sampled_kinds),
    message:
        "sampling {wildcards.model} on {wildcards.dataset}: filters {wildcards.filters}, depth {wildcards.depth}, latent {wildcards.latent}, seed {wildcards.seed}"
    script:
        "../scripts/sample.py"
