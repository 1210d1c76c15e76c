"""Priors: distributions fitted to codes after training and sampled (section 3), one file per kind.

A kind defines

- ``fit(codes, options, *, seed, device, checkpoint)``, which fits it to the training images' codes (N, z) float32 and
  returns a dict of arrays to store. ``seed`` is the cell's, ``device`` is "cuda" or "mps" if the job has a GPU, else
  None, and ``checkpoint`` (`jobs.checkpoints.Checkpoint`) keeps the state of a long fit. Collect unused arguments in
  ``**_``.
- ``sample(prior, count, random)``, which draws codes (count, z) in random order from the stored arrays ``prior`` with
  the ``numpy.random.Generator`` ``random``. Mixtures of Gaussians use `latent.mixture_sampling.sample`.
- ``OPTIONS`` (optional): its config keys beside ``kind``, as `jobs.kinds` explains.
- ``GPU = True``, ``operations(options, images, latent)`` and ``megabytes(options, images, latent)`` (optional): whether
  the fit uses a GPU, its float64 operations (proportional to the images), and its memory beyond that of the programs.

Import NumPy, PyTorch and scikit-learn inside functions: Snakemake's own process reads the file too.
"""
