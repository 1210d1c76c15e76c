"""A figure of scores against the latent size, of the cells of one experiment (rule figure).

The paper's experiments have their own figures; any other experiment is drawn as Figure 1 is.
"""

from autoencoders.figures import FIGURES, figure1
from autoencoders.job import job
from autoencoders.parquet import read_parquet
from autoencoders.published import read_published
from autoencoders.style import save
from autoencoders.tables import collect_scores

if __name__ == "__main__":
    with job(snakemake):
        scores = collect_scores(read_parquet(path) for path in snakemake.input.scores)
        # Not the wildcard: scores with other weights than Inception's official ones have a name that says so.
        extractor = scores["extractor"].iloc[0]
        draw = FIGURES.get(snakemake.wildcards.figure, figure1)
        save(
            draw(scores, extractor, read_published(snakemake.input.published)),
            snakemake.output.pdf,
            snakemake.output.png,
        )
