"""What is drawn, looked up among the artists."""

import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxsp import plotting
from jaxsp.glm import Thresholds
from jaxsp.glm.thresholds import Existence
from jaxsp.numerics import RESULTS


@pytest.fixture
def ax():
    return Figure().subplots()


def found(weak=np.inf, algorithmic=np.inf, optimal=np.inf, informative=np.inf):
    values = jnp.array([weak, algorithmic, optimal, informative])
    return Thresholds(*values, Existence(*jnp.isfinite(values)), RESULTS.successful)


def labels(ax):
    return ax.get_legend_handles_labels()[1]


def test_branches_along_a_curve_that_turns_back(ax):
    x, y = np.array([0.0, 1.0, 2.0, 1.5, 1.0, 2.0]), np.arange(6.0)
    stable = np.array([True, True, True, False, True, True])
    optimal = np.array([True, True, False, False, False, True])
    plotting.branches(x, y, stable=stable, optimal=optimal, label="error", ax=ax)
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--", ":", "--", "-"]
    assert labels(ax) == ["error"]
    # Together the pieces hold every point, and neighbours touch.
    starts = [line.get_ydata()[0] for line in ax.lines]
    ends = [line.get_ydata()[-1] for line in ax.lines]
    assert starts == [0, 2, 3, 4, 5]
    assert ends == [2, 3, 4, 5, 5]


def test_branches_are_solid_if_nothing_else_is_said(ax):
    plotting.branches(jnp.arange(3.0), jnp.arange(3.0), ax=ax)
    assert [line.get_linestyle() for line in ax.lines] == ["-"]
    plotting.branches(np.array([]), np.array([]), ax=ax)


def test_thresholds_of_a_model(ax):
    plotting.thresholds(found(algorithmic=1.5, optimal=1.25), ax=ax)
    assert labels(ax) == ["hard phase", "information-theoretic 1.2500", "algorithmic 1.5000"]
    assert [line.get_xdata()[0] for line in ax.lines] == [1.25, 1.5]
    band = ax.patches[0].get_extents().transformed(ax.transData.inverted())
    np.testing.assert_allclose([band.x0, band.x1], [1.25, 1.5])


def test_thresholds_on_the_vertical_axis(ax):
    plotting.thresholds({"here": 0.5}, along="y", ax=ax)
    plotting.hard_phase(0.2, 0.4, along="y", ax=ax)
    assert ax.lines[0].get_ydata()[0] == 0.5
    band = ax.patches[0].get_extents().transformed(ax.transData.inverted())
    np.testing.assert_allclose([band.y0, band.y1], [0.2, 0.4])


@pytest.mark.parametrize(("low", "high"), [(np.inf, np.inf), (1.0, np.inf), (1.0, 1.0)])
def test_nothing_is_drawn_where_there_is_nothing(ax, low, high):
    plotting.hard_phase(low, high, ax=ax)
    plotting.thresholds(found(), ax=ax)
    plotting.threshold(np.nan, "nowhere", ax=ax)
    assert not ax.patches
    assert not ax.lines


def test_phase_diagram_ends_with_the_first_order_line(ax):
    noise = np.array([0.0, 0.01, 0.02, 0.03])
    low, high = np.array([1.2, 1.3, np.inf, np.inf]), np.array([1.5, 1.4, np.inf, np.inf])
    plotting.phase_diagram(noise, low, high, informative_spinodal=low - 0.1, ax=ax)
    assert labels(ax) == [
        "impossible", "hard", "easy", "information-theoretic", "algorithmic",
        "informative spinodal",
    ]  # fmt: skip
    for shade in ax.collections:
        corners = np.concatenate([path.vertices for path in shade.get_paths()])
        assert np.isfinite(corners).all()
        assert corners[:, 0].max() == 0.01
    hard = ax.collections[1].get_paths()[0].vertices
    assert {tuple(corner) for corner in hard} >= {(0, 1.2), (0, 1.5), (0.01, 1.3), (0.01, 1.4)}
    # Print keeps the hard phase by its hatching.
    assert ax.collections[1].get_hatch()
    assert ax.get_ylim()[0] < 1.1


def test_map_hides_what_failed(ax):
    values = np.add.outer(np.arange(3.0), np.arange(4.0))
    values[1, 2] = np.nan
    plotting.contour_map(np.arange(4.0), np.arange(3.0), values, levels=[2.5], label="sum", ax=ax)
    mesh, contour = ax.collections
    np.testing.assert_array_equal(mesh.get_array().mask, np.isnan(values))
    assert ax.patch.get_hatch()
    assert list(contour.levels) == [2.5]
    assert ax.figure.axes[1].get_ylabel() == "sum"
    corners = np.concatenate([path.vertices for path in contour.get_paths()])
    np.testing.assert_allclose(corners.sum(axis=1), 2.5)


def test_map_of_a_constant_or_of_nothing_has_no_lines():
    for values in (np.ones((2, 2)), np.full((2, 2), np.nan)):
        ax = Figure().subplots()
        plotting.contour_map([0, 1], [0, 1], values, ax=ax)
        assert len(ax.collections) == 1


def test_instances_are_means_with_standard_errors(ax):
    values = np.random.default_rng(0).normal(size=(5, 2))
    plotting.instances([1.0, 2.0], values, label="AMP", ax=ax)
    line, _, (bars,) = ax.containers[0]
    np.testing.assert_allclose(line.get_ydata(), values.mean(axis=0))
    lengths = [bar[1, 1] - bar[0, 1] for bar in bars.get_segments()]
    np.testing.assert_allclose(lengths, 2 * values.std(axis=0, ddof=1) / 5**0.5)


def test_new_axes_and_no_global_style():
    from matplotlib import pyplot

    before, open_before = dict(mpl.rcParams), pyplot.get_fignums()
    own = plotting.new_axes("title", "x", "y")
    assert pyplot.get_fignums() == open_before
    assert own.get_title() == "title"
    ax = plotting.branches([0.0, 1.0], [0.0, 1.0])
    assert pyplot.figure(pyplot.get_fignums()[0]) is ax.figure
    pyplot.close("all")
    assert dict(mpl.rcParams) == before


def test_colours_differ_in_grey():
    """Relative luminance (ITU-R BT.709) tells the colours that mean phases or thresholds apart."""
    from matplotlib.colors import to_rgb

    grey = [np.dot(to_rgb(plotting.COLORS[n]), [0.2126, 0.7152, 0.0722]) for n in
            ("blue", "green", "orange")]  # fmt: skip
    assert np.diff(np.sort(grey)).min() > 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plotting.branches([0, 1], [0]), "`x` and `y` must have one shape"),
        (lambda: plotting.branches([0, 1], [0, 1], stable=[True]), "`x` and `stable`"),
        (lambda: plotting.threshold(1.0, along="z"), "Argument `along` must be"),
        (lambda: plotting.instances([1.0], [[1.0]]), "Argument `values` must have shape"),
        (lambda: plotting.measurements([1.0], [1.0], [-1.0]), "Argument `error` must be"),
        (lambda: plotting.contour_map([0, 1], [0], [[1.0], [2.0]]), "Argument `values` must have"),
        (lambda: plotting.phase_diagram([0, 1], [1.0], [2.0]), "must have one shape"),
        (lambda: plotting.phase_diagram([1, 0], [1.0, 1], [2.0, 2]), "`x` must be increasing"),
        (lambda: plotting.phase_diagram([0.0], [np.inf], [np.inf]), "`limits` must be given"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
