"""Put the scores of all cells into one long table, with the paper's values beside them (rule collect_scores).

One row a cell, extractor, comparison and measure. A published value is merged where the extractor is inception, the
dataset is the paper's, and the paper has a value for that very cell and comparison.
"""

from autoencoders.config.grid import running
from autoencoders.evidence.paper_values import merge_published, read_published
from autoencoders.evidence.score_pages import all_scores_sections
from autoencoders.evidence.score_tables import collect_scores, read_scores
from autoencoders.evidence.table_files import write_table
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        priors = running(snakemake.config, "priors")
        cells = collect_scores(read_scores(path, priors) for path in snakemake.input.scores)
        scores = merge_published(cells, read_published(snakemake.input.published))
        write_table(scores, "All scores", snakemake.output, all_scores_sections(scores))
