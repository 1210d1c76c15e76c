"""Extractors: networks that turn images into the feature vectors that measures compare; a file a kind.

An extractor is called by the name of its file. It has

- ``OPTIONS``: what the config can say of it under ``extractors``, as `jobs.kinds` explains.
- ``load(path, device)``: from its weights file, a function of float images (N, 3, H, W) in [0, 1] on the device, whose
  values are features (N, D). Its weights are laid out channels last, as `scores.features.extract` lays out images:
  convolutions are fastest so. Raises UserError for a file of anything else.
- where its weights come from: ``URL`` and ``SHA256`` of a file to download, in whose place the option ``weights`` may
  name one; or ``train(images, labels, options, seed, device)``, which returns tensors by name, to be stored as
  safetensors, and a record of what they are worth. Then ``NEEDS_LABELS``, where it has to have them, and ``MINUTES``,
  which training it asks a scheduler for.
- ``recorded_name(weights_sha256)`` (may be left out): what tables call it, by default its name.

PyTorch is imported inside functions: Snakemake's own process reads the file too.
"""
