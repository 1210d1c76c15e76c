"""Figure 1 of the paper: the score against the latent size for every width, DAE and VAE (rule figure1).

Shows the cells of the experiment ``width`` alone, whatever else has been scored.
"""

import pandas as pd

from autoencoders.figures import figure1
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
        figure = figure1(scores, extractor, read_published(snakemake.input.published))
        save(figure, snakemake.output.pdf, snakemake.output.png)
