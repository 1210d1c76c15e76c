"""What the scores say about the paper: its values beside ours, tables, claims and verdicts.

The modules that compute scores do not depend on it.
"""
