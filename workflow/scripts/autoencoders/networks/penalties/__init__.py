"""Extra terms of the training objective, one file per kind.

A kind defines

- ``penalty(step, options)``, which returns a scalar tensor; ``weight`` times it is added to the loss. ``step`` is one
  batch on its way through the network, a `networks.objective.Step`; ``options`` are those of the config.
- ``OPTIONS`` (optional): its config keys beside ``kind`` and ``weight``, as `jobs.kinds` explains.
- ``COST`` (optional): the factor by which it lengthens training, for requests to a scheduler.

On a GPU a step is recorded once and then replayed, so a penalty's Python code runs only while it is recorded. A penalty
must therefore keep no state, not read values back (``.item()``) or branch on them, and draw random numbers only from
``step.generator``.

Import PyTorch inside functions: Snakemake's own process reads the file too.
"""
