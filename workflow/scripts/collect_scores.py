"""Collect the scores of all cells in one long table, with the paper's values beside them (rule collect_scores).

The columns are explained in `evidence.score_tables` and `evidence.paper_values.merge_published`, and the rows of images
made elsewhere in `evidence.external_rows`.
"""

from autoencoders.evidence.external_rows import with_external
from autoencoders.evidence.paper_values import merge_published, read_published
from autoencoders.evidence.score_pages import all_scores_sections
from autoencoders.evidence.score_tables import collect_scores, read_scores
from autoencoders.evidence.table_files import write_table
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        cells = collect_scores(read_scores(path, snakemake.config) for path in snakemake.input.scores)
        scores = merge_published(cells, read_published(snakemake.input.published))
        scores = with_external(scores, snakemake.input.external)
        write_table(scores, "All scores", snakemake.output, all_scores_sections(scores))
