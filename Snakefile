# Variational autoencoders without the variation. The stages are in workflow/rules, one file each, in processing order.
import os

from snakemake.utils import min_version

min_version("9.27")


# From another folder, the one beside this file.
CONFIGS = ["config/config.yaml", os.path.join(str(workflow.current_basedir), "config", "config.yaml")]


configfile: next(filter(os.path.lexists, CONFIGS), CONFIGS[0])


include: "workflow/rules/common.smk"


pathvars:
    # The folder of one trained network and of everything computed from it, below <results>/cells.
    cell=CONSTRAINED_CELL,
    logs="<results>/logs",
    benchmarks="<results>/benchmarks",


include: "workflow/rules/dataset.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/encode.smk"
include: "workflow/rules/prior.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/external.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"


report: "workflow/report/workflow.rst"


onstart:
    # With its default limit of 100 jobs a second, Snakemake 9.27 schedules once more per second for each job that
    # has ended, which eventually takes a whole core. A longer timespan (--max-jobs-per-timespan 100000/1m) helps, but
    # then Snakemake waits for that long before it exits. Local jobs need no limit, and SLURM submits two jobs at a time
    # anyway. A limit that the user sets is kept. The attribute is undocumented: another version may not have it.
    limit = getattr(workflow.scheduler, "job_rate_limiter", None)
    if limit is not None and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None
    # Imported here, since every dry run and every job reads this file.
    from autoencoders.jobs import files, run_status
    from snakemake.logging import logger
    from snakemake.settings.enums import Quietness

    try:
        started = files.require_writable(config["pathvars"]["results"])
        if writes_below(workflow.dag, config["pathvars"]["resources"]):
            files.require_writable(config["pathvars"]["resources"])
        CONTENTS.save()
        for notice in notices_of_features(workflow.dag):
            logger.info(notice, extra={"quietness": Quietness.PROGRESS})
        if not workflow.touch:
            refuse_small_gpu(workflow.dag)
            run_status.start(
                Path(config["pathvars"]["results"]),
                recorded_jobs(workflow.dag),
                started,
                lambda line: logger.info(line, extra={"quietness": Quietness.PROGRESS}),
            )
    except UserError as error:
        raise WorkflowError(str(error)) from None


rule all:
    """Everything: tables and figures."""
    default_target: True
    input:
        rules.all_tables.input,
        rules.all_figures.input,
    message:
        "tables and figures are complete: look in the results folder's tables/, figures/ and cells/"
