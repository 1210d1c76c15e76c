"""Put the scores of all cells into one long table, with the paper's values beside them (rule collect_scores).

One row a cell, extractor and metric. A published value is merged where the extractor is inception, the dataset is the
paper's, and the paper has a value for that very cell and metric.
"""

from autoencoders.job import job
from autoencoders.parquet import read_parquet
from autoencoders.published import merge_published, read_published
from autoencoders.rendering import write_table
from autoencoders.score_sections import all_scores_sections
from autoencoders.tables import collect_scores

if __name__ == "__main__":
    with job(snakemake):
        cells = collect_scores(read_parquet(path) for path in snakemake.input.scores)
        scores = merge_published(cells, read_published(snakemake.input.published))
        write_table(scores, "All scores", snakemake.output, all_scores_sections(scores))
