"""How benchmarks report: the table, the file of a run, and what changed since an earlier one."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks import _report as report
from benchmarks._report import Result

FASTER, SLOWER = Result("a to b", 2.0, 1.5, True, (1.8, 2.2)), Result("a to b", 1.7, 1.5, True)
COST = Result("c to d", 1.3, 1.25, False)
UNTARGETED = Result("e to f", 9.0, None, False)


def test_a_table_shows_spreads_and_what_was_missed() -> None:
    assert report.table([FASTER, COST]).splitlines()[2:] == [
        "| a to b | 2.00 (1.80 to 2.20) | at least 1.5 |  |",
        "| c to d | 1.30 | at most 1.25 | missed |",
    ]


def test_a_ratio_without_a_target_is_shown_and_never_missed() -> None:
    assert report.table([UNTARGETED]).splitlines()[2:] == [
        "| e to f | 9.00 | none; less is better |  |",
    ]


def test_results_are_written_and_read(tmp_path: Path) -> None:
    file = str(tmp_path / "results.json")
    report.save(file, [FASTER, UNTARGETED])
    assert report.load(file) == [FASTER, UNTARGETED]


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ([FASTER], [SLOWER], ["WORSE: a to b: 2.00 before, 1.70 now"]),
        ([SLOWER], [FASTER], ["better: a to b: 1.70 before, 2.00 now"]),
        ([COST], [Result("c to d", 1.5, 1.25, False)], ["WORSE: c to d: 1.30 before, 1.50 now"]),
        ([FASTER], [Result("a to b", 1.9, 1.5, True)], []),
        ([FASTER], [COST], ["new: c to d: 1.30", "not measured now: a to b"]),
    ],
)
def test_what_has_changed_is_said(before: list[Result], now: list[Result], said: list[str]) -> None:
    assert report.changes(before, now) == said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "no such benchmark: nothing; there are"),
        (["--compare", "no such file"], "--compare no such file has no results of a run"),
        (["--compare", __file__], "has no results of a run"),
    ],
)
def test_what_can_t_be_used_is_refused_before_anything_runs(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(arguments)
    assert ended.value.code == 2 and words in capsys.readouterr().err
