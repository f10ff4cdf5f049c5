"""The recipes that run a function in many processes or greenlets, as the programs that they are."""

from __future__ import annotations

import ast
import re

import pytest

from .conftest import RECIPES, World

BILLED = r"{} billed to a\d"


def billed(printed: str) -> list[str]:
    found: list[str] = ast.literal_eval(printed.splitlines()[-1])
    return found


@pytest.mark.parametrize("recipe", ["joblib", "dask"])
def test_other_processes_hold_an_appid_for_each_call(world: World, recipe: str) -> None:
    shown = billed(world.run(recipe))
    for recording, line in zip(("a.wav", "b.wav", "c.wav"), shown, strict=True):
        assert re.fullmatch(BILLED.format(recording), line)
    assert world.used == 3


def test_greenlets_hold_an_appid_each(world: World) -> None:
    assert len({line.split()[-1] for line in billed(world.run("gevent"))}) == 2
    assert world.used == 2


def test_dask_delayed_holds_an_appid_for_each_call(world: World) -> None:
    more = """
    import dask
    call = dask.delayed(transcribe, pure=False)("d.wav")
    print(list(dask.compute(call, scheduler="processes", num_workers=1)))
"""
    assert re.fullmatch(BILLED.format("d.wav"), billed(world.run("joblib", more))[0])
    assert world.used == 4


@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading", "sequential"])
def test_every_backend_of_joblib_runs_it_decorated(world: World, backend: str) -> None:
    more = f"""
    calls = [delayed(transcribe)("d.wav")]
    print(Parallel(n_jobs=2, backend="{backend}")(calls))
"""
    assert re.fullmatch(BILLED.format("d.wav"), billed(world.run("joblib", more))[0])
    assert world.used == 4


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_processes_of_the_standard_library_run_it_decorated(world: World, method: str) -> None:
    more = f"""
    import concurrent.futures, multiprocessing
    context = multiprocessing.get_context("{method}")
    with concurrent.futures.ProcessPoolExecutor(1, context) as executor:
        print([executor.submit(transcribe, "d.wav").result()])
    with context.Pool(1) as pool:
        print(pool.map(transcribe, ["e.wav"]))
        pool.close()
        pool.join()
"""
    assert re.fullmatch(BILLED.format("e.wav"), billed(world.run("joblib", more))[0])
    assert world.used == 5


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the kernel's machinery
def test_a_notebook_runs_as_written(world: World) -> None:
    import nbclient
    import nbformat

    definitions, _, calls = RECIPES["Notebooks"].partition("\nprint(")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in (definitions, f"print({calls}")]
    )
    nbclient.NotebookClient(notebook, timeout=100, kernel_name="python3").execute()
    shown = "".join(output.text for output in notebook.cells[-1].outputs)
    assert re.findall(BILLED.format(r"(\w)\.wav"), shown) == ["a", "b", "c"]
    assert world.used == 3
