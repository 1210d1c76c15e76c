"""Extractors: networks that turn images into the feature vectors that measures compare; one file for each kind.

An extractor's name is that of its file. It has

- ``OPTIONS``: its options under ``extractors`` in the config, as `jobs.kinds` explains.
- ``load(path, device)``: reads its weights file, and returns a function from float images (N, 3, H, W) in [0, 1] on the
  device to features (N, D). Its weights are in the channels-last layout, like the images of `scores.features.extract`:
  convolutions are fastest in it. Raises UserError for any other file.
- the origin of its weights: ``URL`` and ``SHA256`` of a file to download, which the option ``weights`` may replace by
  a local one; or ``train(images, labels, options, seed, device)``, which returns tensors by name, to be stored as
  safetensors, and a record of their accuracy. Then also ``NEEDS_LABELS``, where it can't do without them, and
  ``MINUTES``, which training it requests from a scheduler.
- ``recorded_name(weights_sha256)`` (optional): its name in tables, by default that of its file.

PyTorch is imported inside functions: Snakemake's own process imports the file.
"""
