"""Every claim of the paper, judged by this run's numbers and by the published ones (rule claims)."""

from autoencoders.evidence import our_values
from autoencoders.job import job
from autoencoders.parquet import read_parquet
from autoencoders.published import read_published
from autoencoders.rendering import write_table
from autoencoders.verdicts import claims_sections, claims_table

if __name__ == "__main__":
    with job(snakemake):
        scores, latent = read_parquet(snakemake.input.scores), read_parquet(snakemake.input.latent)
        published = read_published(snakemake.input.published)
        table = claims_table(our_values(scores, latent), published, snakemake.params.comparison_latent)
        write_table(table, "The paper's claims", snakemake.output, claims_sections(table, scores))
