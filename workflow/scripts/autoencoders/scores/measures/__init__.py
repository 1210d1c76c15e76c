"""Measures that compare the features of two sets of images, one file per kind.

A kind defines

- ``measure(features, reference, options, *, prepared, random, shared)``: a number, or a number and its error.
  ``features`` (N, D) and ``reference`` (M, D) are float32 tensors on the job's device, of the evaluated images and of
  the reference images, all finite; ``prepared`` is the result of ``prepare`` for ``reference``, as tensors on the CPU,
  and ``random`` is a ``numpy.random.Generator``. Do not write to any of them; they have no gradients. ``shared`` is a
  dict in which measures keep what others need again, such as distances. It is empty for each set of evaluated images,
  which may be compared with several references: keys name everything else that a value depends on. Collect unused
  arguments in ``**_``.
- ``prepare(reference, options)`` (optional): arrays by name that every cell needs from the same reference; they are
  computed once for each dataset and extractor, and stored. One of the name ``baseline``, a number, is the measure of
  the reference images themselves; that of the test images is shown beside the others.
- ``prepare_training(training, test, options)`` (instead of ``prepare``, optional): such arrays from the features of all
  training images and of the test images. ``reference`` is then all training images' features, whatever a comparison
  compares with, and ``baseline`` the measure of the test images. The features are computed once for each dataset and
  extractor.
- ``OF_CLASSES = True`` (optional): the measure is one of class logits. ``features`` and ``reference`` are then these,
  (N, classes) and (M, classes), and features of extractors without classes are not measured.
- ``OPTIONS`` (optional): its config keys beside ``kind``, as `jobs.kinds` explains.
- ``MINUTES`` (optional): how long it takes for one cell, for requests to a scheduler.

Import NumPy and PyTorch inside functions: Snakemake's own process reads the file too.
"""
