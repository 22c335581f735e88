"""The report, and the making of figures into a folder."""

import json

import jax
import numpy as np
import pytest
import xarray as xr

from jaxsp.figures import FIGURES, Context, Row, reproduce
from jaxsp.figures._report import read_report, write_report

from .fakes import TABLE, Fake

KEYS = {
    "name", "value", "uncertainty", "reference", "reference_uncertainty", "source", "agrees",
}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "uncertainty", "reference", "agrees"),
    [(1.0, 0.1, 1.05, True), (1.0, 0.0, 1.0, True), (1.0, 0.04, 1.05, False),
     (float("nan"), 1.0, 1.0, False), (1.0, float("inf"), 1.0, False)],
)  # fmt: skip
def test_agreement(value, uncertainty, reference, agrees):
    assert Row("a/b", value, uncertainty, reference, 0.0, "").agrees is agrees


def test_figures_become_files(tmp_path):
    outcomes = reproduce(["good"], tmp_path / "new", Context(), figures=TABLE)
    assert outcomes[0].succeeded
    assert (tmp_path / "new" / "good.png").read_bytes().startswith(b"\x89PNG")
    with xr.open_dataset(tmp_path / "new" / "good.nc", engine="h5netcdf") as data:
        assert data["x"].shape == (3,)
        assert {"jaxsp", "jax", "commit", "precision", "devices", "command"} <= set(data.attrs)
    rows = json.loads((tmp_path / "new" / "report.json").read_text())
    assert [set(row) for row in rows] == [KEYS]
    assert rows[0]["agrees"] is True


def test_a_failure_does_not_stop_the_rest(tmp_path, capsys):
    shown = []

    def progress(steps, description):
        for step in steps:
            yield step
            shown.append((description, step))

    context = Context(progress=progress)
    outcomes = reproduce(["broken", "wrong", "good"], tmp_path, context, figures=TABLE)
    assert [o.succeeded for o in outcomes] == [False, False, True]
    assert shown == [("nothing", 0), ("nothing", 1)]
    assert "on purpose" in capsys.readouterr().err
    names = {row["name"]: row["agrees"] for row in read_report(tmp_path / "report.json")}
    assert names == {"wrong/two": False, "good/one": True}


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("simulates", [True, False])
@pytest.mark.parametrize("name", ["compiled", "broken"])
def test_quick_figures_compile_fast_unless_they_simulate(tmp_path, name, quick, simulates):
    table = {name: Fake("fake", name.title(), simulates)}
    before = jax.config.read("jax_disable_most_optimizations")
    assert before is False
    [outcome] = reproduce([name], tmp_path, Context(quick=quick), figures=table)
    if name == "compiled":
        assert outcome.rows[0].value == (simulates or not quick)
    # As it was, after a failure too.
    assert jax.config.read("jax_disable_most_optimizations") is before


def test_numbers_of_any_type_are_written(tmp_path):
    path = tmp_path / "report.json"
    one = np.float64(1.0)
    write_report(path, "a", [Row("a/x", one, np.float64(0.1), one, np.float32(0.0), "")])
    assert read_report(path)[0]["agrees"] is True


def test_rows_of_other_figures_are_kept(tmp_path):
    path = tmp_path / "report.json"
    write_report(path, "a", [Row("a/x", 1.0, 0.0, 1.0, 0.0, "")])
    write_report(path, "b", [Row("b/x", 1.0, 0.0, 1.0, 0.0, "")])
    write_report(path, "a", [Row("a/y", 1.0, 0.0, 1.0, 0.0, "")])
    assert [row["name"] for row in read_report(path)] == ["b/x", "a/y"]


def test_a_row_is_named_after_its_figure(tmp_path):
    with pytest.raises(ValueError, match="must be named"):
        write_report(tmp_path / "report.json", "a", [Row("b/x", 1.0, 0.0, 1.0, 0.0, "")])


@pytest.mark.parametrize("text", ["{", "{}", "[1]"])
def test_a_file_that_is_no_report_is_refused(tmp_path, text):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="is not a report"):
        read_report(path)


def test_unknown_name_says_what_is_close(tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'good'"):
        reproduce(["goood"], tmp_path, Context(), figures=TABLE)


def test_every_registered_module_can_make():
    import importlib

    for entry in FIGURES.values():
        assert callable(importlib.import_module(entry.module).make)
