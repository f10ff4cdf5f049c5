"""The journal among real processes: killed holders, forked children, and many reapers at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appid_manager_client.journal.journal import Journal
from appid_manager_client.journal.record import JournalRecord
from tests.support.waiting import PATIENCE, wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@contextmanager
def process(role: str, journal: Journal, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.chaos.journal_process", role, str(journal.directory)]
    child = subprocess.Popen(
        [*command, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate(timeout=PATIENCE)


def hears(child: subprocess.Popen[str]) -> list[str]:
    """The words of the next line that a process prints."""
    assert child.stdout is not None
    return child.stdout.readline().split()


def finish(child: subprocess.Popen[str]) -> list[list[str]]:
    """End a process's input, and return the rest of what it prints."""
    output, _ = child.communicate(timeout=PATIENCE * 2)
    assert child.returncode == 0
    return [line.split() for line in output.splitlines()]


def kill(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.wait(PATIENCE)


def records(journal: Journal) -> list[JournalRecord]:
    return [entry.record for entry in journal.orphaned()]


def test_what_a_killed_holder_held_is_orphaned_and_not_a_moment_before(journal: Journal) -> None:
    with process("holder", journal, 3) as holder:
        assert hears(holder) == ["holding", "3"]
        assert records(journal) == []
        kill(holder)
        found = {record.request_id: record.appid for record in records(journal)}
    assert found == {
        f"{holder.pid}-{number}": f"appid-of-{holder.pid}-{number}" for number in range(3)
    }


def test_a_stopped_holder_is_not_dead(journal: Journal) -> None:
    with process("holder", journal, 1) as holder:
        hears(holder)
        holder.send_signal(signal.SIGSTOP)
        assert records(journal) == []


def test_a_kill_at_any_moment_leaves_only_what_can_be_read(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(12):
        with process("churner", journal) as churner:
            hears(churner)
            time.sleep(number * 0.003)  # the kill shall strike at another step each time
            kill(churner)
            for leftover in journal.directory.glob("*.new"):
                os.utime(leftover, (1, 1))  # a sweep leaves fresh ones alone
            found = {entry.record.request_id: entry for entry in journal.orphaned()}
            assert f"{churner.pid}-kept" in found
            assert len(found) <= 2
            for entry in journal.orphaned():
                entry.done()
            assert os.listdir(journal.directory) == []
    assert caplog.text == ""


def test_a_forked_child_neither_ends_nor_changes_its_parent_s_entries(journal: Journal) -> None:
    with process("forker", journal) as parent:
        word, pid, open_files = hears(parent)
        assert (word, open_files) == ("child", "0")
        assert records(journal) == []
        os.kill(int(pid), signal.SIGKILL)
        (of_the_child,) = wait_until(lambda: records(journal), what="the child's end")
        assert (of_the_child.request_id, of_the_child.appid) == ("child", "appid-of-child")
        kill(parent)
        assert {record.appid for record in records(journal)} == {
            "appid-of-child",
            "appid-of-parent-1",
            "appid-of-parent-2",
        }


def test_a_fork_at_any_moment_gives_the_child_no_file_of_the_journal(journal: Journal) -> None:
    with process("fork_storm", journal, 300) as parent:
        assert finish(parent) == [["dirty", "0"]]


def test_a_program_that_is_started_inherits_no_file_of_the_journal(journal: Journal) -> None:
    with process("execer", journal) as parent:
        assert finish(parent) == [["inherited", "0"]]


def test_of_many_reapers_exactly_one_gets_each_entry_and_none_that_is_held(
    journal: Journal,
) -> None:
    holders, each = 4, 25
    with (
        process("reaper", journal) as reaper_1,
        process("reaper", journal) as reaper_2,
        process("reaper", journal) as reaper_3,
        process("living", journal, 2.0) as living,
    ):
        reapers = [reaper_1, reaper_2, reaper_3]
        for reaper in reapers:
            assert hears(reaper) == ["sweeping"]
        assert hears(living) == ["holding"]
        dead = set()
        for _ in range(holders):
            with process("holder", journal, each) as holder:
                hears(holder)
                kill(holder)
                dead |= {f"{holder.pid}-{number}" for number in range(each)}
        ((word, count),) = finish(living)
        assert (word, int(count) > 100) == ("closed", True)
        wait_until(lambda: not os.listdir(journal.directory), what="an empty journal")
        got = [line[1] for reaper in reapers for line in finish(reaper)]
    assert sorted(got) == sorted(dead)
