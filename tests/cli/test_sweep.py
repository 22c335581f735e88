"""`jaxsp sweep` and `jaxsp plot`: arguments and pictures with cheap data, numbers with real ones."""

import shlex

import jax
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from jaxsp import _cli, _diagram, sweeps
from jaxsp._diagram_picture import picture
from tests.glm.reference import BinaryPerceptron

runner = CliRunner()
BINARY = "sweep --prior rademacher --channel sign "


def call(line, *arguments):
    return runner.invoke(_cli.app, [*shlex.split(line), *map(str, arguments)])


def cheap(ranges, attributes):
    """A dataset like those of a diagram, of a first-order line that ends."""
    noise = ranges.get("noise_variance", np.zeros(1))
    n, a = np.meshgrid(noise, ranges["alpha"], indexing="ij")
    spinodal, transition = 1.5 + 5 * n, 1.25 + 15 * n
    low, high = 0.5 * np.exp(-a), 0.1 * n
    values = {
        "optimal": np.where(a < transition, low, high),
        "uninformed": np.where(a < np.maximum(spinodal, transition), low, high),
        "informed": high,
    }
    two = noise.size > 1
    dims = ("noise_variance", "alpha") if two else ("alpha",)
    found = {}
    for branch, error in values.items():
        error = error if two else error[0]
        found[f"{branch}_classification_error"] = (dims, error)
        found[f"{branch}_overlap"] = (dims, 1 - error)
    thresholds = {"algorithmic": spinodal[:, 0], "information_theoretic": transition[:, 0]}
    if two:
        found |= {name: ("noise_variance", line) for name, line in thresholds.items()}
    else:
        attributes = attributes | {name: float(line[0]) for name, line in thresholds.items()}
    found["status"] = (dims, np.zeros(error.shape, int))
    coordinates = {name: ranges[name] for name in dims}
    return xr.Dataset(found, coordinates, attributes)


@pytest.fixture
def fake_diagram(monkeypatch):
    asked = []

    def diagram(prior, channel, ranges, *, store, progress):
        asked.append(ranges)
        data = cheap(ranges, {"prior": prior, "channel": channel})
        sweeps.save(data, store)
        return data

    monkeypatch.setattr(_diagram, "diagram", diagram)
    return asked


@pytest.mark.parametrize(
    ("extra", "shape"), [("", (7,)), ("--noise-variance 0:0.02:5", (7, 5)), ("--noise-variance=0", (7, 1))]
)  # fmt: skip
def test_ranges_and_picture(tmp_path, fake_diagram, extra, shape):
    out = tmp_path / "d.zarr"
    result = call(f"{BINARY} --alpha 0.5:2:7 {extra} --out", out)
    assert result.exit_code == 0, result.output
    assert tuple(values.size for values in fake_diagram[0].values()) == shape
    np.testing.assert_allclose(fake_diagram[0]["alpha"], np.linspace(0.5, 2.0, 7))
    assert (tmp_path / "d.png").stat().st_size > 10_000
    again = tmp_path / "overlap.png"
    result = call("plot --quantity overlap", out, "--out", again)
    assert result.exit_code == 0, result.output
    assert again.stat().st_size > 10_000


def test_curve_shows_branches_and_thresholds():
    data = cheap({"alpha": np.linspace(0.5, 2.0, 31)}, {"prior": "rademacher", "channel": "sign"})
    (ax,) = picture(data).axes
    lines = {line.get_label(): line for line in ax.lines}
    optimal = lines["Bayes-optimal"]
    # The jump is where the threshold is, not beside it.
    np.testing.assert_allclose(optimal.get_xdata()[np.argmin(np.diff(optimal.get_ydata()))], 1.25)
    assert lines["reached by AMP"].get_linestyle() == "--"
    shown = np.isfinite(lines["reached by AMP"].get_ydata())
    reached = lines["reached by AMP"].get_xdata()[shown]
    assert reached.min() == pytest.approx(1.2)
    assert reached.max() == pytest.approx(1.5)
    assert "algorithmic threshold 1.5000" in lines


def test_maps_show_thresholds():
    ranges = {"alpha": np.linspace(0.5, 2.0, 31), "noise_variance": np.linspace(0, 0.02, 5)}
    axes = picture(cheap(ranges, {"prior": "rademacher", "channel": "sign"})).axes
    assert [ax.get_title() for ax in axes[:2]] == ["Bayes-optimal", "reached by AMP"]
    lines = {line.get_label(): line for line in axes[0].lines}
    np.testing.assert_allclose(
        lines["algorithmic threshold"].get_xdata(), 1.5 + 5 * ranges["noise_variance"]
    )


def test_thresholds_over_two_parameters_at_one_alpha():
    x, y = np.linspace(0.0, 1.0, 11), np.linspace(0.0, 2.0, 5)
    spinodal = np.add.outer(y, x)
    dims = ("sparsity", "noise_variance")
    error = (dims, np.exp(-spinodal))
    data = xr.Dataset(
        {f"{b}_{n}": error for b in ("optimal", "uninformed", "informed")
         for n in ("classification_error", "overlap")} | {"algorithmic": (dims, spinodal)},
        {"noise_variance": x, "sparsity": y},
        {"prior": "gauss-bernoulli", "channel": "sign", "alpha": 1.5},
    )  # fmt: skip
    figure = picture(data)
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert labels == ["algorithmic threshold"]
    assert "alpha 1.5" in figure.get_suptitle()


@pytest.mark.parametrize("extra", ["", "--noise-variance 0:0.1:2 --bias 0:0.1:2 --alpha 1:2:2"])
def test_no_picture_of_other_than_one_or_two_dimensions(tmp_path, monkeypatch, extra):
    def diagram(prior, channel, ranges, *, store, progress):
        return xr.Dataset({"status": ((), 0)})

    monkeypatch.setattr(_diagram, "diagram", diagram)
    result = call(f"{BINARY} --alpha 1.2 {extra} --out", tmp_path / "d.zarr")
    assert result.exit_code == 0, result.output
    assert "No picture" in result.output
    assert not (tmp_path / "d.png").exists()


def test_other_data_are_drawn_too(tmp_path):
    path = tmp_path / "data.nc"
    grid = sweeps.Grid({"x": [1.0, 2.0], "y": [1.0, 3.0]})
    sweeps.save(sweeps.run(lambda x, y: {"z": x * y}, grid), path)
    assert call("plot", path).exit_code == 0
    assert (tmp_path / "data.png").exists()
    result = call("plot --quantity w", path)
    assert result.exit_code == 2
    assert "'z'" in result.output


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{BINARY} --alpha 0.5:2 --out d.zarr", "START:STOP:POINTS"),
        (f"{BINARY} --alpha 0.5:2:0 --out d.zarr", "at least one point"),
        (f"{BINARY} --alpha nan --out d.zarr", "finite"),
        (f"{BINARY} --alpha 1 --out d.nc", "must end in .zarr"),
        (f"{BINARY} --alpha 1 --out d.zarr --noise 0.1", "'noise_variance'"),
        (f"{BINARY} --alpha 1 --out d.zarr --noise-variance", "an option and its value"),
        (f"{BINARY} --alpha -1 --out d.zarr", "at least 0"),
        (f"{BINARY} --alpha 1 --out d.zarr --noise-variance -0.5:0:3", "`noise_variance` must be"),
        ("sweep --prior rademache --channel sign --alpha 1 --out d.zarr", "'rademacher'"),
        ("sweep --prior gauss-bernoulli --channel sign --alpha 1 --out d.zarr", "'sparsity'"),
        ("plot missing.zarr", "missing.zarr"),
        ("plot missing.txt", ".zarr"),
    ],
)
def test_bad_arguments(tmp_path, monkeypatch, line, message):
    monkeypatch.chdir(tmp_path)
    result = call(line)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.split())
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_binary_perceptron(tmp_path):
    out = tmp_path / "d.zarr"
    line = f"{BINARY} --alpha 0.6:1.9:5 --noise-variance 0.005:0.01:2 --out"
    assert call(line, out).exit_code == 0
    data = sweeps.load(out)
    assert data.optimal_overlap.dims == ("noise_variance", "alpha")
    assert not data.status.any()
    assert not data.thresholds_status.any()
    for noise in data.noise_variance.values:
        here, reference = data.sel(noise_variance=noise), BinaryPerceptron(float(noise))
        assert float(here.algorithmic) == pytest.approx(reference.algorithmic()[0], abs=1e-7)
        for alpha in data.alpha.values:
            V = reference.iterate(float(alpha), 0.9)
            point = here.sel(alpha=alpha)
            assert float(point.uninformed_mean_squared_error) == pytest.approx(V, rel=1e-6)
    # Once more: nothing is computed again.
    before = {path: path.stat().st_mtime_ns for path in out.rglob("c/*/*")}
    assert call(line, out).exit_code == 0
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("c/*/*")}

    # In single precision: the same away from the thresholds.
    single = tmp_path / "single.zarr"
    try:
        assert call(line, single, "--float32").exit_code == 0
    finally:
        jax.config.update("jax_enable_x64", True)
    coarse = sweeps.load(single)
    assert coarse.optimal_overlap.dtype == np.float32
    for name in data:
        if "status" not in str(name):
            np.testing.assert_allclose(coarse[name], data[name], atol=1e-4, rtol=1e-4)
