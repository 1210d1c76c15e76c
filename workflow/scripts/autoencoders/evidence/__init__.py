"""What the scores say of the paper: its values beside ours, tables, claims and verdicts.

What computes the scores knows nothing of them.
"""
