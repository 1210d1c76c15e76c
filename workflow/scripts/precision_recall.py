"""Precision against recall, by model and prior (rule precision_recall)."""

from autoencoders.evidence.external_rows import with_external
from autoencoders.evidence.score_tables import collect_scores, read_scores
from autoencoders.figures.figure_page import write_figure_page
from autoencoders.figures.page_style import save
from autoencoders.figures.precision_recall import precision_recall_figure
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        scores = collect_scores(read_scores(path, snakemake.config) for path in snakemake.input.scores)
        scores = with_external(scores, snakemake.input.external)
        # Not the wildcard: scores with other weights than Inception's official ones have a name that says so.
        figure = precision_recall_figure(scores, scores["extractor"].iloc[0], snakemake.params.models)
        save(figure, snakemake.output.pdf, snakemake.output.png)
        params, output = snakemake.params, snakemake.output
        write_figure_page(output.html, output.png, params.title, snakemake.input.caption, snakemake.wildcards)
