# Stage 5: the image sets that are scored: reconstructions, decoded midpoints, and decoded samples of every prior.
#
# They are large and computed in seconds, so each is deleted after its last use (`--notemp` keeps them). A gallery with
# a few images of each is kept, so that drawing needs no new samples.


rule all_samples:
    """Every cell's image sets: reconstructions, midpoints, and samples from its priors."""
    input:
        for_models("<results>/cells/<cell>/images/{name}.npy", "name", grid.image_sets),
    message:
        "every cell's image sets are complete"


rule sample:
    """Decode a cell's reconstructions, its midpoints, and samples from its priors."""
    input:
        train="<results>/datasets/{dataset}/train.npz",
        test="<results>/datasets/{dataset}/test.npz",
        weights="<results>/cells/<cell>/weights.safetensors",
        cell="<results>/cells/<cell>/cell.json",
        priors=cell_priors,
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


# Models with a native prior that does not run for all have one more image set, and rules can't have outputs that depend
# on wildcards.
ruleorder: sample_native > sample


use rule sample as sample_native with:
    output:
        gallery=f"<results>/cells/{NATIVE_CELL}/gallery.npz",
        images=temp([f"<results>/cells/{NATIVE_CELL}/images/{name}.npy" for name in (*IMAGE_SETS, grid.NATIVE)]),
    log:
        f"<logs>/sample/{NATIVE_CELL}.log",
    benchmark:
        f"<benchmarks>/sample/{NATIVE_CELL}.tsv"
