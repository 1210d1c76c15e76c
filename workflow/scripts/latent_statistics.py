"""How Gaussian the codes of one cell are (rule latent_statistics): one row, as parquet."""

import pandas as pd

from autoencoders.jobs.files import read_npy, read_npz, write_parquet
from autoencoders.jobs.job import job
from autoencoders.latent.gaussianity import latent_statistics

if __name__ == "__main__":
    with job(snakemake.log[0]):
        cell, inputs = snakemake.params.cell, snakemake.input
        codes, held_out = read_npy(inputs.train), read_npy(inputs.test)
        # Each a list of one file, or of none where the config has no such prior.
        mvg, gmm = (read_npz(files[0]) if files else None for files in (inputs.mvg, inputs.gmm))
        statistics = latent_statistics(codes, held_out, mvg, gmm, cell["seed"])
        status = "ok" if len(codes) else "diverged"
        write_parquet(snakemake.output[0], pd.DataFrame([{**cell, "status": status, **statistics}]))
