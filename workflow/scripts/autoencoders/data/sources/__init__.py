"""Sources of images, one file per kind; a source's section of the config has the file's name.

A kind defines

- ``OPTIONS`` and ``DESCRIPTION``: its options in that section, as `jobs.kinds` explains; every function below gets
  these ``options``.
- ``splits(options, folder)``, which returns {"train": `data.pictures.Split`}, and "test" if the source has that split.
  ``folder`` is where ``download`` put its files. Raises UserError if the data is not as the config says.

and may define:

- ``is_remote(options)`` and ``download(options, folder)``, which returns {file relative to the folder: sha256}.
- ``local_files(options)``: the local files that are read, as {name: path}. If a name or a content changes, the dataset
  is prepared again.
- ``searching(options, folder)``: the options whose folders are searched for images, if ``folder`` is one of those
  searched.
- ``check(options)``: faults that show without opening a file, as (key, what is wrong and what to write).
- ``first_look(options, look)``: raises UserError for local images that do not fit the config; ``look`` is a
  `data.first_look.Look`.
- ``has_test(options)``: whether it has its own test split (default: it has).
- ``labelled(options)``: whether its images have labels; None if this is not known yet.
- ``training_images(options)`` and ``side(options)``: the number of training images, and the images' shorter side in
  pixels, for datasets that are the same for everyone.

Import NumPy, Pillow and a source's own libraries inside functions: Snakemake's own process reads the file too.
"""
