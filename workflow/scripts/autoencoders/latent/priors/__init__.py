"""Priors: what is fitted to codes after training (section 3), and drawn from; a file a kind.

A kind has

- ``fit(codes, options, *, seed, device, checkpoint)``: fitted to codes (N, z) float32 of the training images; arrays by
  name, which are stored. ``seed`` is the cell's, ``device`` "cuda" or "mps" where the job has a GPU, else None, and
  ``checkpoint`` (`jobs.checkpoints.Checkpoint`) keeps the state of a long fit. Take what is needed, and the others by
  ``**_``.
- ``sample(prior, count, random)``: codes (count, z) in random order, drawn from the stored arrays ``prior`` by the
  ``numpy.random.Generator``. A mixture of Gaussians has `latent.mixture_sampling.sample` for that.
- ``OPTIONS`` (may be left out): what the config can say of it beside ``kind``, as `jobs.kinds` explains.
- ``GPU = True``, ``operations(options, images, latent)`` and ``megabytes(options, images, latent)`` (may be left out):
  whether the fit takes a GPU, its floating point operations in float64, in proportion to the images, and its memory
  beside that of the programs.

NumPy, PyTorch and scikit-learn are imported inside functions: Snakemake's own process reads the file too.
"""
