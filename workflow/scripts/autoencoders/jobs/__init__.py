"""How a job runs: files, logs, progress, devices, checkpoints, errors.

Nothing here can change a result, and an edit here reruns nothing. Code that can change one belongs in another folder.
"""
