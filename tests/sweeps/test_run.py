"""Sweeps against plain evaluation, and what they do with what goes wrong."""

import re
import resource

import jax
import jax.numpy as jnp
import lineax
import numpy as np
import pytest
import xarray as xr

import jaxsp
from jaxsp import channels, glm, priors, sweeps
from jaxsp.glm.curve import value_and_slope
from jaxsp.numerics import RESULTS, newton_root
from tests.sweeps import worker

ROWS = 5


@pytest.fixture(scope="module")
def expected():
    return sweeps.run(
        worker.function, worker.grid(ROWS), chunk_size=5, batch_size=2, devices=jax.devices()[:1]
    )


def sine(x):
    return jnp.sin(x)


def equal_bits(a: xr.Dataset, b: xr.Dataset) -> bool:
    return set(a) == set(b) and all(
        a[name].values.tobytes() == b[name].values.tobytes() for name in [*a, *a.coords]
    )


def test_values_are_those_of_a_python_loop(expected):
    key = jax.random.key(0)
    x, y = expected.x.values, expected.y.values
    for place, (i, j) in enumerate(np.ndindex(x.size, y.size)):
        value, steps = 0.0, 0
        while abs(np.cos(value + x[i]) * y[j] - value) > 1e-12:
            value, steps = np.cos(value + x[i]) * y[j], steps + 1
        here = expected.isel(x=i, y=j)
        assert abs(float(here.value) - value) < 1e-11
        assert abs(int(here.steps) - steps) <= 1
        np.testing.assert_allclose(here.powers, value ** np.arange(3), rtol=0, atol=1e-11)
        if place % 7 == 0:
            noise = jax.random.normal(jax.random.fold_in(key, place))
            assert float(here.noise) == pytest.approx(float(noise), abs=1e-13)
    assert not expected.status.any()


def test_labels(expected):
    assert expected.value.dims == ("x", "y")
    assert expected.powers.dims == ("x", "y", "powers_0")
    assert expected.value.attrs["units"] == "1"
    assert expected.attrs["jaxsp"] == jaxsp.__version__
    assert expected.attrs["precision"] == "float64"
    for name in ("commit", "devices", "seed", "command", "processes", "date"):
        assert name in expected.attrs
    flags = expected.status.attrs["flag_meanings"].split()
    assert flags[int(RESULTS.nonfinite._value)] == "nonfinite"


def test_numbers_do_not_depend_on_the_devices_nor_on_the_store(expected, tmp_path):
    assert len(jax.devices()) == 4
    four = sweeps.run(
        worker.function, worker.grid(ROWS), chunk_size=5, batch_size=2, store=tmp_path / "four.zarr"
    )
    assert equal_bits(four, expected)


def test_list_of_points_and_named_dimensions():
    data = sweeps.run(
        lambda a, b: {"powers": a * b ** jnp.arange(3)},
        sweeps.Points({"a": [1.0, 2.0], "b": [3.0, 4.0]}),
        variables={
            "a": sweeps.Variable("prefactor", "m"),
            "powers": sweeps.Variable("powers", "m", ("power",)),
        },
        coordinates={"power": [0, 1, 2]},
    )
    np.testing.assert_allclose(data.powers.sel(power=2), [9.0, 32.0])
    np.testing.assert_array_equal(data.b, [3.0, 4.0])
    assert data.powers.dims == ("point", "power")
    assert data.a.attrs == {"units": "m", "long_name": "prefactor"}


def test_axes_take_the_coordinate_of_their_length():
    def function(a):
        return {
            "x": a * jnp.arange(3),
            "xt": a * jnp.ones((3, 2)),
            "other": a * jnp.ones((4, 3)),
            "twice": a * jnp.ones((3, 3)),
        }

    coordinates = {"x_axis": [0.0, 1.0, 2.0], "time": [0.5, 1.0]}
    data = sweeps.run(function, sweeps.Grid({"a": [1.0]}), coordinates=coordinates)
    assert data.x.dims == ("a", "x_axis")
    assert data.xt.dims == ("a", "x_axis", "time")
    assert data.other.dims == ("a", "other_0", "x_axis")
    assert data.twice.dims == ("a", "x_axis", "twice_1")


def test_failed_lanes_are_marked_and_stop_nothing():
    def root(c):
        return newton_root(lambda x: x**2 + c, jnp.ones_like(c))

    data = sweeps.run(root, sweeps.Grid({"c": [-4.0, 1.0, -9.0]}))
    assert list(data.status == 0) == [True, False, True]
    np.testing.assert_allclose(data.value[[0, 2]], [2.0, 3.0])
    undefined = sweeps.run(lambda x: jnp.log(x), sweeps.Grid({"x": [1.0, -1.0]}))
    assert list(undefined.status.values) == [0, int(RESULTS.nonfinite._value)]


def test_float32():
    with jax.enable_x64(False):
        # On several devices, and with constants that take the default precision.
        data = sweeps.run(
            lambda a: a / 3 + jnp.sum(jnp.zeros(2)), sweeps.Grid({"a": [1.0, 2.0]}), batch_size=1
        )
    assert data.value.dtype == np.float32
    assert data.attrs["precision"] == "float32"


class Stopped(Exception):
    pass


def test_stopped_sweep_is_resumed_where_it_was(expected, tmp_path):
    store = tmp_path / "a" / "sweep.zarr"

    def sweep(progress=None, function=worker.function, **options):
        options = {"chunk_size": 5, "batch_size": 2, "store": store} | options
        return sweeps.run(function, worker.grid(ROWS), progress=progress, **options)

    def stop(progress):
        if progress.done >= 10:
            raise Stopped

    with pytest.raises(Stopped):
        sweep(stop)
    unfinished = sweeps.load(store)
    assert (unfinished.status.values == -1).sum() == 7 * ROWS - 10
    seen = []
    resumed = sweep(lambda progress: seen.append(progress.done))
    assert seen[0] > 10
    assert seen[-1] == 7 * ROWS
    assert equal_bits(resumed, expected)
    assert equal_bits(sweeps.load(store), expected)
    sweeps.save(sweeps.load(store), tmp_path / "copy.nc")
    assert equal_bits(sweeps.load(tmp_path / "copy.nc"), expected)
    # Nothing is left to do, and a file that was torn is noticed.
    seen.clear()
    sweep(lambda progress: seen.append(progress.done))
    assert seen == []
    torn = store / "value" / "c" / "1" / "0"
    torn.write_bytes(torn.read_bytes()[:-3])
    again = sweep(lambda progress: seen.append(progress.done))
    assert seen == [7 * ROWS]
    assert equal_bits(again, expected)

    # Another sweep is refused, by name of what differs.
    kept = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    with pytest.raises(sweeps.StoreMismatchError, match="chunk is"):
        sweep(chunk_size=10)
    with pytest.raises(sweeps.StoreMismatchError, match="seed is 0, not 1"):
        sweep(seed=1)
    with pytest.raises(sweeps.StoreMismatchError, match="parameters x is 7 values from 0.1 to 1.3"):
        sweeps.run(
            worker.function, sweeps.Grid({"x": [0.1], "y": [0.2]}), store=store, chunk_size=5
        )

    def function(x, y, key):
        return worker.function(x, 2 * y, key)

    with pytest.raises(sweeps.StoreMismatchError, match="compiled function is"):
        sweep(function=function)
    assert kept == {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(sweeps.StoreMismatchError, match="something else"):
        sweeps.run(sine, sweeps.Grid({"x": [1.0]}), store=tmp_path)
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize("folder", ["/sys/sweep.zarr", "file/sweep.zarr"])
def test_folder_that_cannot_be_written(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(sweeps.StoreError, match="folder that can be written to"):
        sweeps.run(sine, sweeps.Grid({"x": [1.0]}), store=folder)


def test_full_disk_keeps_what_is_finished(tmp_path):
    # The operating system refuses to write files longer than a limit, as it does on a full disk.
    grid = sweeps.Grid({"x": np.linspace(0.0, 1.0, 3000)})
    store = tmp_path / "sweep.zarr"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(progress):
        if progress.done == 2000:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))

    try:
        with pytest.raises(sweeps.StoreError, match="Make room and run the sweep again"):
            sweeps.run(sine, grid, store=store, chunk_size=1000, progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    seen = []
    data = sweeps.run(
        sine, grid, store=store, chunk_size=1000, progress=lambda p: seen.append(p.done)
    )
    assert seen == [3000]
    np.testing.assert_allclose(data.value, np.sin(data.x), atol=1e-14)


def test_changing_structure_is_refused(tmp_path):
    calls = []

    def function(x):
        calls.append(x)
        return {"a": x} if len(calls) % 2 else {"a": x, "b": x}

    with pytest.raises(sweeps.SweepError, match="'b' was absent and is float64"):
        sweeps.run(function, sweeps.Grid({"x": [1.0]}))
    store = tmp_path / "sweep.zarr"
    sweeps.run(lambda x: {"a": x}, sweeps.Grid({"x": [1.0]}), store=store)
    with pytest.raises(sweeps.StoreMismatchError, match="variables a is float64.*, not absent"):
        sweeps.run(lambda x: {"b": x}, sweeps.Grid({"x": [1.0]}), store=store)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x if x > 0 else -x, "must be a pure JAX function"),
        (lambda x: {"a": "text"}, "must return arrays, but returns 'text'"),
        (lambda x: {}, "at least one array"),
        (lambda x: {"a_b": x, "a": {"b": x}}, "have one name, 'a_b'"),
        (lambda x: jax.random.key(0), "must return numbers"),
    ],
)
def test_functions_that_cannot_be_swept(function, message):
    with pytest.raises(sweeps.SweepError, match=message):
        sweeps.run(function, sweeps.Grid({"x": [1.0]}))


def test_solvers_of_other_libraries_run_on_all_devices():
    def solution(a):
        matrix = lineax.MatrixLinearOperator(jnp.array([[2.0, 1.0], [1.0, 3.0]]) * a)
        return lineax.linear_solve(matrix, jnp.ones(2)).value

    data = sweeps.run(solution, sweeps.Grid({"a": [1.0, 2.0]}), batch_size=1)
    np.testing.assert_allclose(data.value, [[0.4, 0.2], [0.2, 0.1]])


def test_bits_of_a_theory_do_not_depend_on_the_devices():
    # Quadratures and their derivatives: what a compiler can fuse in many ways.
    def curve(x, noise):
        model = glm.GLM(priors.Rademacher(), channels.Sign(noise_variance=noise), order=8)
        return value_and_slope(model, x, 8)

    grid = sweeps.Grid({"x": np.linspace(-3.0, 4.0, 13), "noise": np.linspace(0.0, 0.03, 5)})
    one, four = (
        sweeps.run(curve, grid, chunk_size=40, batch_size=4, devices=jax.devices()[:n])
        for n in (1, 4)
    )
    assert equal_bits(one, four)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk_size": 0}, "`chunk_size` must be at least 1"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        ({"variables": {"z": sweeps.Variable()}}, "but names z"),
        ({"variables": {"value": sweeps.Variable(dims=("a", "b"))}}, "must have 1 dims"),
        ({"variables": {"value": sweeps.Variable(dims=("x",))}}, "another dimension"),
        ({"coordinates": {"value_0": [1.0]}}, "a dimension of 2"),
        ({"coordinates": {"other": [1.0]}}, "no dimension"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        sweeps.run(lambda x: jnp.stack([x, x]), sweeps.Grid({"x": [1.0]}), **options)
    with pytest.raises(ValueError, match="name of a coordinate"):
        sweeps.run(lambda x: {"x": x}, sweeps.Grid({"x": [1.0]}))


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_saved_datasets_are_loaded_again(expected, tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    for _ in range(2):
        sweeps.save(expected, path)
        again = sweeps.load(path)
        assert equal_bits(again, expected)
        assert again.attrs["seed"] == 0
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_paths_that_cannot_be_loaded(expected, tmp_path):
    with pytest.raises(ValueError, match=re.escape(".nc or .zarr")):
        sweeps.save(expected, tmp_path / "data.txt")
    with pytest.raises(FileNotFoundError, match=re.escape("other.nc")):
        sweeps.load(tmp_path / "other.nc")


def test_progress_is_quiet_out_of_a_terminal_and_a_bar_in_one(capfd, monkeypatch):
    grid = sweeps.Grid({"x": [1.0, 2.0]})
    sweeps.run(sine, grid)
    assert capfd.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")
    sweeps.run(sine, grid, progress=True)
    assert "2/2 points" in capfd.readouterr().err
