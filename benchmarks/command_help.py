"""Processor time of `appid-manager --help`, beside `pip --version`.

Both are started as a user does, in turns. Time on the wall would show how busy the machine is.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sysconfig
from pathlib import Path

from benchmarks._report import at_most

_ROUNDS = 15


def main() -> None:
    scripts = Path(sysconfig.get_path("scripts"))
    commands = {
        "pip --version": [str(scripts / "pip"), "--version"],
        "appid-manager --help": [str(scripts / "appid-manager"), "--help"],
        "appid-manager status --help": [str(scripts / "appid-manager"), "status", "--help"],
    }
    rounds = [{name: _seconds(line) for name, line in commands.items()} for _ in range(_ROUNDS + 1)]
    for name in commands:
        milliseconds = statistics.median(each[name] for each in rounds[1:]) * 1000
        print(f"  {name}: {milliseconds:.0f} ms of processor time")
    ratios = [each["appid-manager --help"] / each["pip --version"] for each in rounds[1:]]
    at_most("appid-manager --help to pip --version", statistics.median(ratios), 0.8, ratios)


def _seconds(line: list[str]) -> float:
    before = os.times()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )


if __name__ == "__main__":
    main()
