"""Extractors: networks that turn images into the feature vectors that measures compare, one file per kind.

An entry of ``extractors`` in the config has a name and a kind, by default the kind of its name. A kind defines

- ``OPTIONS``: the options of its entries, as `jobs.kinds` explains. Kinds without a required option are available
  under their own names, even if the config does not list them.
- ``load(path, device)``, which reads its weights file and returns a function from float images (N, 3, H, W) in [0, 1]
  on the device to features (N, D), float32. Its weights should be in the channels-last layout, like the images of
  `scores.features.extract`: convolutions are fastest in it. Raises UserError for any other file.
- ``FEATURE_OPTIONS`` (optional): the options that its features depend on besides the weights file. ``load`` gets them
  by name.
- the origin of its weights, one of: ``URL`` and ``SHA256`` of a file to download; ``file_name(options)``, the name of
  a file to download, and ``hub_address(name)``, its address on the Hugging Face Hub; or ``train(images, labels,
  options, seed, device)``, which returns tensors by name, to be stored as safetensors, and a record of their accuracy.
  The option ``weights`` replaces a download by a local file. With ``train``, also ``NEEDS_LABELS`` if it requires
  them, and ``MINUTES``, the time that its training requests from a scheduler.
- ``classes(path, device)`` (optional), if the network has classes: reads the file and returns a function from features
  (N, D) to logits (N, classes), for measures of classes.
- ``cpu_seconds(options)`` (optional): the seconds of one CPU core for the features of a thousand images, to tell how
  long those of all training images take.
- ``GPU = False`` (optional): its training needs no GPU.
- ``SCORING_MINUTES`` (optional): the time that computing its features takes beyond that of Inception's.
- ``ENVIRONMENT`` (optional): the file in envs/ of the jobs that use it, by default ``score``.
- ``check(options)`` (optional): pairs (option, fault) that only its own library can tell. It is called once, before the
  first job, and yields nothing where the library is not installed.
- ``recorded_name(weights_sha256)`` (optional): the name in tables of the entry with the kind's own name. Other entries
  are recorded under their names.

Import PyTorch inside functions: Snakemake's own process reads the file too.
"""
