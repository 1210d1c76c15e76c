"""How Gaussian the codes of one cell are (rule latent_statistics): one row, as parquet."""

import pandas as pd

from autoencoders.jobs.files import read_npy, read_npz
from autoencoders.jobs.job import job
from autoencoders.jobs.parquet_tables import write_parquet
from autoencoders.latent.gaussianity import latent_statistics

if __name__ == "__main__":
    with job(snakemake.log[0]):
        cell, inputs = snakemake.params.cell, snakemake.input
        codes, held_out = read_npy(inputs.train), read_npy(inputs.test)
        of_kind = dict(zip(snakemake.params.likelihood_priors, map(read_npz, inputs.priors), strict=True))
        statistics = latent_statistics(codes, held_out, of_kind.get("mvg"), of_kind.get("gmm"), cell["seed"])
        status = "ok" if len(codes) else "diverged"
        write_parquet(snakemake.output[0], pd.DataFrame([{**cell, "status": status, **statistics}]))
