"""Runs all benchmarks, or those that are named: `python -m benchmarks [NAME ...]`.

`--json FILE` writes the results to a file; `--compare FILE` says what has changed since such a
file, and the exit status is then 1 if something became worse.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys

import benchmarks
from benchmarks._report import RESULTS, changes, load, machine, save, table


def main(arguments: list[str]) -> int:
    found = sorted(
        module.name
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if not module.name.startswith("_")
    )
    parser = argparse.ArgumentParser(prog="python -m benchmarks", allow_abbrev=False)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(found)}")
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
    for name in asked.names or found:
        module = importlib.import_module(f"benchmarks.{name}")
        title = (module.__doc__ or name).strip().splitlines()[0]
        print(f"\n{name}: {title}", flush=True)
        module.main()
    print(f"\n{machine()}\n\n{table(RESULTS)}")
    if asked.json is not None:
        save(asked.json)
    if before is None:
        return 0
    changed = changes(before, RESULTS)
    print("\n" + "\n".join(changed or ["nothing has changed by more than a tenth"]))
    return int(any(line.startswith("WORSE") for line in changed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
