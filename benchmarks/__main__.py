"""Runs all benchmarks, or those that are named: `python -m benchmarks [NAME ...]`.

`--json FILE` writes the results to a file; `--compare FILE` says what has changed since such a
file, and the exit status is then 1 if something became worse.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable

import benchmarks
import benchmarks.large
from benchmarks._report import Result, changes, load, machine, save, table


def main(arguments: list[str]) -> int:
    small, large = _names(benchmarks.__path__), _names(benchmarks.large.__path__, "large.")
    found = [*small, *large]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", allow_abbrev=False)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(found)}")
    parser.add_argument(
        "--large", action="store_true", help="those with a million of something: a few minutes"
    )
    parser.add_argument("--json", metavar="FILE", help="write the results to this file, too")
    parser.add_argument("--compare", metavar="FILE", help="the results of an earlier run")
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.names) - set(found))
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(found)}")
    before = None
    if asked.compare is not None:  # before minutes are spent
        try:
            before = load(asked.compare)
        except (OSError, ValueError, KeyError, TypeError) as error:
            parser.error(f"--compare {asked.compare} has no results of a run: {error}")
    results: list[Result] = []
    for name in asked.names or (large if asked.large else small):
        results += run_alone(name)
    print(f"\n{machine()}\n\n{table(results)}")
    if asked.json is not None:
        save(asked.json, results)
    if before is None:
        return 0
    changed = changes(before, results)
    print("\n" + "\n".join(changed or ["nothing has changed by more than a tenth"]))
    return int(any(line.startswith("WORSE") for line in changed))


def _names(path: Iterable[str], prefix: str = "") -> list[str]:
    """The benchmarks of a package, as they are named on the command line."""
    return sorted(
        prefix + module.name
        for module in pkgutil.iter_modules(path)
        if not module.ispkg and not module.name.startswith("_")
    )


def run_alone(name: str) -> list[Result]:
    """Run one benchmark in a process of its own: what others import changes what calls cost."""
    module = importlib.import_module(f"benchmarks.{name}")
    title = (module.__doc__ or name).strip().splitlines()[0]
    print(f"\n{name}: {title}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        file = f"{directory}/results.json"
        subprocess.run([sys.executable, "-c", _ALONE, name, file], check=True)
        return load(file)


_ALONE = """
import importlib, sys
from benchmarks import _report
importlib.import_module(f"benchmarks.{sys.argv[1]}").main()
_report.save(sys.argv[2], _report.RESULTS)
"""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
