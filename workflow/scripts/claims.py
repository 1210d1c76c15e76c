"""Judge every claim of the paper by this run's values and by the published ones (rule claims)."""

from autoencoders.evidence.answer import answer
from autoencoders.evidence.claim_values import our_values
from autoencoders.evidence.external_rows import of_cells
from autoencoders.evidence.paper_values import read_published
from autoencoders.evidence.redraw_noise import redraw_noise
from autoencoders.evidence.score_tables import on_test_images
from autoencoders.evidence.table_files import write_table
from autoencoders.evidence.verdicts import claims_sections, claims_table
from autoencoders.jobs.files import atomic
from autoencoders.jobs.job import job
from autoencoders.jobs.parquet_tables import read_parquet

if __name__ == "__main__":
    with job(snakemake.log[0]):
        scores = on_test_images(of_cells(read_parquet(snakemake.input.scores)), snakemake.config)
        latent = read_parquet(snakemake.input.latent)
        published = read_published(snakemake.input.published)
        noise = redraw_noise(map(read_parquet, snakemake.input.redraws))
        table = claims_table(our_values(scores, latent), published, snakemake.params.comparison_latent, noise)
        write_table(
            table,
            "The paper's claims",
            snakemake.output,
            claims_sections(table, scores, noise, snakemake.params.methods),
        )
        with atomic(snakemake.output.answer) as temporary:
            temporary.write_text(answer(table, scores, snakemake.params.comparison_latent), encoding="utf-8")
