"""What the scores say of the paper: its values beside ours, tables, claims and verdicts. Nothing else knows it."""
