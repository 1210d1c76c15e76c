"""Extra terms of the training objective, one file per kind.

A kind defines

- ``penalty(step, options)``, which returns a scalar tensor; ``weight`` times it is added to the loss. ``step`` is one
  batch on its way through the network, a `networks.objective.Step`; ``options`` are those of the config.
- ``OPTIONS`` (optional): its config keys beside ``kind`` and ``weight``, as `jobs.kinds` explains. Like a weight, an
  option with ``by_dataset: True`` may also be a mapping from names of datasets; ``options`` has the dataset's value.
- ``check(options, model, latent)`` (optional): yields (key, fault) for what can't be used together, before any job.
  ``model`` is the model's resolved options, ``latent`` the latent size of a cell.
- ``MIN_BATCH`` (optional): a batch of fewer images is trained without the penalty, which then counts as 0, and a
  smaller ``training.batch_size`` is refused. ``MIN_WEIGHT`` (optional): the least weight.
- ``COST`` (optional): the factor by which it lengthens training, for requests to a scheduler. By operations, all that
  come along but ``decoder_gradient`` are below a hundredth of a training on the paper's networks.

Penalties are computed in float32 outside autocast, whatever the network's precision; of what goes through the decoder
again, its layers still have the format that they were run in.

On a GPU a step is recorded once and then replayed, so a penalty's Python code runs only while it is recorded. A penalty
must therefore keep no state, not read values back (``.item()``) or branch on them, and draw random numbers only from
``step.generator``.

Import PyTorch inside functions: Snakemake's own process reads the file too.
"""
