"""A figure of scores against the latent size, of the cells of one experiment (rules figure and figure_by_measure): as
in the paper, or as all experiments that have no figure there.
"""

from autoencoders.evidence.external_rows import with_external
from autoencoders.evidence.measure_texts import FRECHET
from autoencoders.evidence.paper_values import read_published
from autoencoders.evidence.score_tables import collect_scores, read_scores
from autoencoders.figures.figure_page import write_figure_page
from autoencoders.figures.own_figure import own_figure
from autoencoders.figures.page_style import save
from autoencoders.figures.paper_figures import PAPER_FIGURES
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        scores = collect_scores(read_scores(path, snakemake.config) for path in snakemake.input.scores)
        # Not the wildcard: scores with other weights than Inception's official ones have a name that says so.
        extractor = scores["extractor"].iloc[0]
        scores = with_external(scores, snakemake.input.external)
        table, name = (scores, extractor, read_published(snakemake.input.published)), snakemake.wildcards.figure
        params, output, measure = snakemake.params, snakemake.output, snakemake.wildcards.get("measure", FRECHET)
        if name in PAPER_FIGURES:
            figure = PAPER_FIGURES[name](*table, measure)
        else:
            figure = own_figure(*table, params.models, measure)
        save(figure, output.pdf, output.png)
        write_figure_page(output.html, output.png, params.title, snakemake.input.caption, snakemake.wildcards)
