"""Extra terms of the training objective, a file a kind.

A kind has

- ``penalty(step, options)``: a scalar tensor, whose ``weight`` times it is added to the loss. ``step`` is one batch on
  its way through the network, a `networks.objective.Step`; ``options`` are those of the config.
- ``OPTIONS`` (may be left out): what the config can say of it beside ``kind`` and ``weight``, as `jobs.kinds` explains.
- ``COST`` (may be left out): how many times as long training takes with it, for requests to a scheduler.

On a GPU a step is recorded once and replayed from then on: what a penalty does in Python is done while it is recorded,
and no more. So it keeps no state of its own, reads no value back (``.item()``), decides nothing by one, and draws
random numbers from ``step.generator`` alone.

PyTorch is imported inside functions: Snakemake's own process reads the file too.
"""
