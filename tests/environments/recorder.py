"""Put into an environment as its sitecustomize.py: writes where the modules of each job's script were loaded from.

One file a job, in the folder that RECORD_MODULES_IN names.
"""

import atexit
import json
import os
import sys


@atexit.register
def record() -> None:
    # The first to register is the last to run, when all is imported. No program but a job's script has such a name.
    job = getattr(sys.modules["__main__"], "snakemake", None)
    folder = os.environ.get("RECORD_MODULES_IN")
    if job is None or folder is None:
        return
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    found = {
        "rule": job.rule,
        "prefix": sys.prefix,
        "executable": sys.executable,
        # torch has some with an invented name of a file, which is no path.
        "modules": {name: file for name, file in files.items() if file and os.path.isabs(file)},
    }
    with open(os.path.join(folder, f"{job.rule}-{os.getpid()}.json"), "w") as file:
        json.dump(found, file)
