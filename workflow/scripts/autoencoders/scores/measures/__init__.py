"""Measures: what is computed of two sets of images by their features; a file a kind.

A kind has

- ``measure(features, reference, options, *, prepared, random)``: a number, or a number and its error. ``features``
  (N, D) and ``reference`` (M, D) are float32 tensors on the job's device, of the images that are judged and of those
  they are held against; ``prepared`` is what ``prepare`` has made of ``reference``, as tensors on the CPU, and
  ``random`` a ``numpy.random.Generator``. All of them are to be read only, and have no gradients. Take what
  is needed, and the others by ``**_``.
- ``prepare(reference, options)`` (may be left out): arrays by name that every cell needs of the same reference; they
  are computed once a dataset and extractor, and stored.
- ``OPTIONS`` (may be left out): what the config can say of it beside ``kind``, as `jobs.kinds` explains.
- ``MINUTES`` (may be left out): what scoring a cell takes with it, for requests to a scheduler.

NumPy and PyTorch are imported inside functions: Snakemake's own process reads the file too.
"""
