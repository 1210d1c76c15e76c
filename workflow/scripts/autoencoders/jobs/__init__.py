"""How a job runs: files, logs, progress, devices, checkpoints, errors.

Nothing here can alter a result, and an edit here reruns nothing. What can alter one belongs into another folder.
"""
