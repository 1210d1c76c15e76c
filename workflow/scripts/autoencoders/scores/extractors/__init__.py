"""Extractors: networks that turn images into the feature vectors that measures compare, one file per kind.

An extractor has the name of its file. It defines

- ``OPTIONS``: its options under ``extractors`` in the config, as `jobs.kinds` explains.
- ``load(path, device)``, which reads its weights file and returns a function from float images (N, 3, H, W) in [0, 1]
  on the device to features (N, D). Its weights should be in the channels-last layout, like the images of
  `scores.features.extract`: convolutions are fastest in it. Raises UserError for any other file.
- the origin of its weights: either ``URL`` and ``SHA256`` of a file to download, which the option ``weights`` may
  replace by a local one; or ``train(images, labels, options, seed, device)``, which returns tensors by name, to be
  stored as safetensors, and a record of their accuracy. With ``train``, also ``NEEDS_LABELS`` if it requires them, and
  ``MINUTES``, the time that its training requests from a scheduler.
- ``classes(path, device)`` (optional): of a classifier, the function from its features (N, D) to its logits
  (N, classes).
- ``recorded_name(weights_sha256)`` (optional): its name in tables, by default that of its file.

Import PyTorch inside functions: Snakemake's own process reads the file too.
"""
