"""The lines of progress that jobs log: rate, share and time left."""

import logging

from autoencoders.jobs import progress
from autoencoders.jobs.progress import Progress


def test_lines_have_the_rate_the_share_and_the_time_left(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    work, resumed = Progress("working", total=400, interval=10), Progress("copying", 400_000, "MB", done=200_000)
    for _ in range(4):
        now[0] += 4
        work.step(50)
    work.line("epoch 1/2")
    work.line("epoch 1/2")
    now[0] = 110
    resumed.line()
    resumed.advance(20)
    resumed.line()
    resumed.advance(199_980)
    resumed.line()
    Progress("working", total=400, done=400).line()
    assert caplog.messages == [
        # Due after 12 of the 16 seconds: 150 of 400 images at 12.5 a second leave 20 seconds.
        "working: 38%, 12 images/s, 0:00:20 left",
        "working: epoch 1/2, 50%, 12 images/s, 0:00:16 left",
        # What an earlier job has done says nothing about the rate.
        "copying: 50%, 0 MB/s, unknown time left",
        "copying: 50%, 2 MB/s, 27:46:30 left",
        "copying: 100%, 20,000 MB/s, 0:00:00 left",
        "working: 100%, 0 images/s, 0:00:00 left",
    ]
