"""The image sets of one cell to score (rule sample): reconstructions, decoded midpoints, samples of each prior.

Each is uint8 (n, 3, S, S). Reconstructions and midpoints are computed from the evaluation subsets, whose images are
also the references: midpoints lie between the codes (of a VAE: the means) of the test images in them.
"""

from pathlib import Path

import numpy as np

from autoencoders.config.seeds import generator, stream_seed
from autoencoders.data.prepared_images import evaluation_subset, load_images
from autoencoders.jobs.device import open_device
from autoencoders.jobs.files import read_json, read_npz, write_npy, write_npz
from autoencoders.jobs.job import job
from autoencoders.latent.encode_decode import decode, encode, midpoints
from autoencoders.latent.interpolations import shown_images, steps_between
from autoencoders.latent.prior_samples import draw_codes
from autoencoders.networks.numerics import repeatable
from autoencoders.networks.weights import load_weights

# Images of each set that stay in the gallery, and pairs of test images with the decoded steps between them.
GALLERY = 44
PAIRS = 8
# The image set of the model's native prior, if it is none of all models; `config.grid` names it too, and is no input.
NATIVE = "native"
STEPS = 9

if __name__ == "__main__":
    with job(snakemake.log[0]):
        params, seed = snakemake.params, int(snakemake.wildcards.seed)
        # Not a param: it changes the memory use, but no result.
        batch_size = snakemake.config["scoring"]["batch_size"]
        precision, *reconstructions = params.decoding.split()
        repeatable(snakemake.threads, tf32=precision != "fp32")
        device = open_device(snakemake.resources.gpu, snakemake.threads, snakemake.config["cells_per_gpu"])
        network = load_weights(snakemake.input.weights, device)
        diverged = read_json(snakemake.input.cell)["status"] == "diverged"
        splits = {"train_recon": snakemake.input.train, "test_recon": snakemake.input.test}
        priors = {Path(file).stem: file for file in snakemake.input.priors}
        nothing = np.empty((0, network.options.latent), np.float32)
        gallery, recon_codes, shown = {}, dict.fromkeys(splits, nothing), {}
        for path in snakemake.output.images:
            name = Path(path).stem
            if name in splits:
                originals = load_images(splits[name])
                originals = originals[evaluation_subset(len(originals), params.images, params.seed)]
                # By the scores' seed: the same images for all cells.
                shown[name] = shown_images(len(originals), GALLERY, params.seed)
                gallery[f"{name}_originals"] = originals[shown[name]]
            if diverged:
                codes = nothing
            elif name in splits:
                codes = recon_codes[name] = encode(network, originals, batch_size, device)
                if reconstructions == ["sample"]:
                    # As a Keras model's call does. The name makes the draws of the two sets independent.
                    codes = encode(network, originals, batch_size, device, stream_seed(seed, f"reconstructions/{name}"))
            elif name == "interpolation":
                # The outputs name test_recon first.
                codes = midpoints(recon_codes["test_recon"], seed)
            else:
                if name == NATIVE:
                    name = snakemake.config["models"][snakemake.wildcards.model]["native_prior"]
                kind, shape = snakemake.config["priors"][name]["kind"], (params.images, network.options.latent)
                # The name makes the draws of a cell's priors independent of each other.
                codes = draw_codes(name, kind, read_npz(priors[name]), shape, generator(seed, f"sample/{name}"))
            images = decode(network, codes, batch_size, device)
            gallery[name] = images[shown[name]] if name in splits and not diverged else images[:GALLERY]
            write_npy(path, images)
        # Between the first of the shown test images, two by two.
        pairs = 0 if diverged else min(PAIRS, len(shown["test_recon"]) // 2)
        ends = recon_codes["test_recon"][shown["test_recon"][: 2 * pairs]].reshape(pairs, 2, network.options.latent)
        steps = steps_between(ends[:, 0], ends[:, 1], STEPS)
        decoded = decode(network, steps.reshape(-1, network.options.latent), batch_size, device)
        gallery["steps"] = decoded.reshape(pairs, STEPS, *decoded.shape[1:])
        gallery["step_ends"] = gallery["test_recon_originals"][: 2 * pairs].reshape(pairs, 2, *decoded.shape[1:])
        write_npz(snakemake.output.gallery, gallery)
