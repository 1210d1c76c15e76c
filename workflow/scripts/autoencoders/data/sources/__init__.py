"""Where images come from; a file a kind, which is also the name of the dataset's section that it reads.

A kind has

- ``OPTIONS``, and ``DESCRIPTION``: what the config can say of it in that section, as `jobs.kinds` explains; every
  function below gets these ``options``.
- ``splits(options, folder)``: "train", and "test" where the source has one, to `data.pictures.Split`. ``folder`` is
  where ``download`` has put what it downloaded. Raises UserError where the data is not as the config says.

and may have, where its images are not simply here:

- ``is_remote(options)`` and ``download(options, folder)``, which returns {file relative to the folder: sha256}.
- ``files(options)``: local files whose change makes the dataset again; ``fingerprints(options)``: texts that do.
- ``check(options)``: faults that can be seen at once, as (key, what is wrong and what to write).
- ``first_look(options, look)``: raises UserError for images that are here and do not fit, by `data.first_look.Look`.
- ``has_test(options)``: whether it has a test split of its own (by default it has).
- ``labelled(options)``: whether its images have labels; None where that is not known yet.
- ``training_images(options)`` and ``side(options)``: how many there are, and the shorter side in pixels of images that
  are the same everywhere.

NumPy, Pillow and the libraries of one source are imported inside functions: Snakemake's own process reads the file too.
"""
