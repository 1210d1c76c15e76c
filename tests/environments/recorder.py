"""An environment's sitecustomize.py: records where the modules of each job's script were loaded from.

It writes one file per job to the folder that RECORD_MODULES_IN names.
"""

import atexit
import json
import os
import sys


@atexit.register
def record() -> None:
    # Registered first, this runs last, when all is imported. Only a job's script has a variable `snakemake`.
    job = getattr(sys.modules["__main__"], "snakemake", None)
    folder = os.environ.get("RECORD_MODULES_IN")
    if job is None or folder is None:
        return
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    found = {
        "rule": job.rule,
        "extractor": job.wildcards.get("extractor"),
        "prefix": sys.prefix,
        "executable": sys.executable,
        # Some of torch's modules have a made-up file name that is no path.
        "modules": {name: file for name, file in files.items() if file and os.path.isabs(file)},
    }
    with open(os.path.join(folder, f"{job.rule}-{os.getpid()}.json"), "w", encoding="utf-8") as file:
        json.dump(found, file)
