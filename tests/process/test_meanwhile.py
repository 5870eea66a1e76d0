"""Work on another thread while the body waits."""

from __future__ import annotations

import threading

import pytest

from hivellm_lite.process.meanwhile import meanwhile


def test_work_runs_on_another_thread_and_has_ended_with_the_body():
    begun, release, threads = threading.Event(), threading.Event(), []

    def work() -> None:
        begun.set()
        release.wait(60)
        threads.append(threading.current_thread())

    with meanwhile(work):
        assert begun.wait(60)
        assert threads == []
        release.set()
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()
    assert not threads[0].is_alive()


def test_without_work_no_thread_is_started():
    before = threading.active_count()
    with meanwhile(None):
        assert threading.active_count() == before


def test_an_error_of_the_work_is_dropped_and_one_of_the_body_is_not():
    def fail() -> None:
        raise ImportError("needed later")

    with meanwhile(fail):
        pass
    with pytest.raises(ValueError, match="of the body"), meanwhile(fail):
        raise ValueError("of the body")


def test_where_no_thread_can_be_started_the_body_runs_alone(monkeypatch):
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    ran = []
    with meanwhile(lambda: ran.append("work")):
        ran.append("body")
    assert ran == ["body"]
