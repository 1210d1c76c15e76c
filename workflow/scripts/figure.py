"""A figure of scores against the latent size, of the cells of one experiment (rule figure).

The paper's experiments have their own figures; any other experiment is drawn as Figure 1 is.
"""

import pandas as pd

from autoencoders.figures import FIGURES, figure1
from autoencoders.job import job
from autoencoders.published import read_published
from autoencoders.style import save
from autoencoders.tables import select_cells

if __name__ == "__main__":
    with job(snakemake):
        scores = select_cells(pd.read_parquet(snakemake.input.scores), snakemake.params.cells)
        # Scores with other weights than Inception's official ones have a name that says so.
        names = [name for name in scores["extractor"].unique() if name.split("-")[0] == snakemake.wildcards.extractor]
        extractor = names[0] if names else snakemake.wildcards.extractor
        draw = FIGURES.get(snakemake.wildcards.figure, figure1)
        save(
            draw(scores, extractor, read_published(snakemake.input.published)),
            snakemake.output.pdf,
            snakemake.output.png,
        )
