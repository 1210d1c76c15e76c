"""Sources of images, one file for each kind; a dataset's section of the config has the file's name.

A kind has

- ``OPTIONS`` and ``DESCRIPTION``: its options in that section, as `jobs.kinds` explains; every function below gets
  these ``options``.
- ``splits(options, folder)``: "train", and "test" where the source has one, to `data.pictures.Split`. ``folder`` is
  where ``download`` has put its files. Raises UserError where the data is not as the config says.

and may have:

- ``is_remote(options)`` and ``download(options, folder)``, which returns {file relative to the folder: sha256}.
- ``files(options)``: local files; a change of one prepares the dataset again. ``fingerprints(options)``: texts whose
  change does so.
- ``check(options)``: faults that need no look into a file, as (key, what is wrong and what to write).
- ``first_look(options, look)``: raises UserError for local images that do not fit the config, by
  `data.first_look.Look`.
- ``has_test(options)``: whether it has its own test split (default: it has).
- ``labelled(options)``: whether its images have labels; None where this is not known yet.
- ``training_images(options)`` and ``side(options)``: their number, and the shorter side in pixels, of a dataset
  that is the same for everyone.

NumPy, Pillow and a source's own libraries are imported inside functions: Snakemake's own process imports the file.
"""
