"""Progress lines: rate, share and estimate, and that they are read as they were written."""

import logging

import pytest

from autoencoders.jobs import progress
from autoencoders.jobs.progress import Point, Progress, read_point


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


def test_what_an_earlier_job_did_counts_as_done_and_not_for_the_rate(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    work = Progress("working", total=400, done=200)
    now[0] += 10
    assert work.point() == Point("working", "", 50, "0 images/s", None)
    work.advance(20)
    assert work.point() == Point("working", "", 55, "2 images/s", 90)
    work.advance(180)
    # Nothing was left for this job to do.
    assert Progress("working", total=400, done=400).point().left == 0
    assert work.point("all") == Point("working", "all", 100, "20 images/s", 0)


@pytest.mark.parametrize("what", ["training", "downloading a: b, 3%.zip"])
@pytest.mark.parametrize("detail", ["", "epoch 3/100, loss 0.5821", "epoch 1/2, loss nan", "3%, 4 left", "loss: 3"])
@pytest.mark.parametrize("left", [None, 0, 16, 3600 + 2 * 60 + 3, 100 * 3600])
def test_lines_are_read_as_they_were_written(what, detail, left):
    point = Point(what, detail, 38, "12,345,678 images/s", left)
    assert str(read_point(str(point))) == str(point)
    if what == "training":
        assert read_point(str(point)) == point


@pytest.mark.parametrize(
    "line",
    ["", "computing on x86_64 CPU with 1 CPU thread(s)", "training: 38%, 12 images/s", "a: 1%, 2 images/s, soon left"],
)
def test_other_lines_are_none(line):
    assert read_point(line) is None
