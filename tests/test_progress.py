"""Progress lines: rate, share and estimate."""

import logging

from autoencoders import progress
from autoencoders.progress import Progress


def test_lines_come_at_their_time_with_rate_and_estimate(monkeypatch, caplog):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    caplog.set_level(logging.INFO)
    work = Progress("working", total=400, unit="images", interval=10)
    for _ in range(4):
        now[0] += 4
        work.step(50)
    # Due after 12 of the 16 seconds: 150 of 400 images at 12.5 a second leave 20 seconds.
    assert caplog.messages == ["working: 38%, 12 images/s, 0:00:20 left"]
    work.line("epoch 1/2")
    work.line("epoch 1/2")
    assert caplog.messages[1:] == ["working: epoch 1/2, 50%, 12 images/s, 0:00:16 left"]
