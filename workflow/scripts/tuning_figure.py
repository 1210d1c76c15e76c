"""The Fréchet distance against the factor of a method's weights, on validation images (rule tuning_figure)."""

from autoencoders.evidence.score_tables import collect_scores, read_scores
from autoencoders.evidence.tuning import native_scores, tuning_table
from autoencoders.figures.figure_page import write_figure_page
from autoencoders.figures.page_style import save
from autoencoders.figures.tuning_figure import tuning_figure
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        scores = collect_scores(read_scores(path, snakemake.config) for path in snakemake.input.scores)
        params, output = snakemake.params, snakemake.output
        table = tuning_table(scores, params.settings)
        figure = tuning_figure(table, native_scores(scores, params.settings), params.models)
        save(figure, output.pdf, output.png)
        write_figure_page(output.html, output.png, params.title, snakemake.input.caption, snakemake.wildcards)
