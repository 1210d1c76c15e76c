"""The weights of each method that suit validation images best (rule tuning)."""

from autoencoders.evidence.score_tables import collect_scores, read_scores
from autoencoders.evidence.table_files import write_table
from autoencoders.evidence.tuning import tuning_sections, tuning_table
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        scores = collect_scores(read_scores(path, snakemake.config) for path in snakemake.input.scores)
        settings = snakemake.params.settings
        table = tuning_table(scores, settings)
        write_table(table, "Tuning: weights of the methods", snakemake.output, tuning_sections(table, scores, settings))
