"""Boundaries against closed forms and against full grids."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import sweeps
from jaxsp.sweeps import boundary

SQUARE = {"x": (-2.0, 2.0), "y": (-1.0, 3.0)}


def circle(x, y):
    return x**2 + y**2


def full_grid(function, side):
    x = np.linspace(*SQUARE["x"], side + 1)
    y = np.linspace(*SQUARE["y"], side + 1)
    return np.asarray(function(x[:, None], y[None, :]))


def test_boundary_is_that_of_the_full_grid_at_a_fraction_of_its_points():
    found = boundary(circle, SQUARE, level=0.8, coarse=8, refinements=6)
    side = 8 * 2**6
    inside = full_grid(circle, side) > 0.8
    edges = (inside[1:] != inside[:-1]).sum() + (inside[:, 1:] != inside[:, :-1]).sum()
    assert found.points.sizes["point"] == edges
    assert found.evaluated.sizes["point"] * 20 < (side + 1) ** 2
    assert found.resolution == {"x": 4 / side, "y": 4 / side}
    radius = np.hypot(found.points.x, found.points.y)
    # The error of linear interpolation on an edge is h^2 / 8 times the second derivative over the first.
    np.testing.assert_allclose(radius, np.sqrt(0.8), atol=(4 / side) ** 2)
    np.testing.assert_allclose(
        found.evaluated.value, circle(found.evaluated.x, found.evaluated.y), atol=1e-14
    )
    places = np.column_stack([found.evaluated.x, found.evaluated.y])
    assert len(np.unique(places, axis=0)) == len(places)


def test_boundary_is_followed_into_cells_that_saw_nothing():
    # A thin tongue reaches from a disc over coarse cells whose corners all lie outside of it.
    def tongue(x, y):
        disc = 0.4 - jnp.hypot(x - 1.4, y - 0.27)
        return jnp.maximum(disc, jnp.minimum(x + 1.3, 0.04 - jnp.abs(y - 0.27)))

    coarse = full_grid(tongue, 8) > 0
    assert not coarse[:6].any()
    found = boundary(tongue, SQUARE, level=0.0, coarse=8, refinements=5)
    inside = full_grid(tongue, 8 * 2**5) > 0
    edges = (inside[1:] != inside[:-1]).sum() + (inside[:, 1:] != inside[:, :-1]).sum()
    assert found.points.sizes["point"] == edges
    assert float(found.points.x.min()) == pytest.approx(-1.3, abs=0.02)


def test_classes_that_meet_in_a_point():
    def classes(x, y):
        return jnp.where(y < 0.5, 0, jnp.where(x < 0.3, 1, 2))

    found = boundary(classes, SQUARE, level=None, refinements=6)
    points, h = found.points, found.resolution["x"]
    pairs = {(int(a), int(b)) for a, b in zip(points.before, points.after, strict=True)}
    assert pairs == {(0, 1), (0, 2), (1, 2)}
    vertical = points.before.values * points.after.values == 2
    np.testing.assert_allclose(points.x[vertical], 0.3, atol=h / 2 + 1e-12)
    np.testing.assert_allclose(points.y[~vertical], 0.5, atol=h / 2 + 1e-12)


def test_one_and_three_dimensions():
    one = boundary(lambda x: x**3, {"x": (0.0, 2.0)}, level=2.0, refinements=10)
    np.testing.assert_allclose(one.points.x, [2 ** (1 / 3)], atol=1e-6)
    cube = {name: (-1.0, 1.1) for name in "xyz"}
    three = boundary(lambda x, y, z: x + 2 * y - z, cube, level=0.5, coarse=4, refinements=3)
    x, y, z = (three.points[name] for name in "xyz")
    np.testing.assert_allclose(x + 2 * y - z, 0.5, atol=1e-12)
    assert three.evaluated.sizes["point"] * 4 < 33**3


def test_points_that_fail_are_marked_and_no_boundary():
    found = boundary(lambda x, y: jnp.log(y) + 0 * x, SQUARE, level=0.0, refinements=3)
    np.testing.assert_allclose(found.points.y, 1.0, atol=found.resolution["y"])
    failed = found.evaluated.status != 0
    np.testing.assert_array_equal(failed, found.evaluated.y < 0)


def test_no_boundary():
    found = boundary(circle, SQUARE, level=100.0, coarse=4)
    assert found.points.sizes["point"] == 0
    assert found.evaluated.sizes["point"] == 25
    assert found.cells == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coarse": 0}, "`coarse` must be at least 1"),
        ({"refinements": -1}, "`refinements` must be at least 0"),
        ({"refinements": 40}, "too large"),
        ({"ranges": {"x": (1.0, 0.0), "y": (0.0, 1.0)}}, "range of `x` must be two increasing"),
        ({"ranges": {"x": (0.0, np.nan), "y": (0.0, 1.0)}}, "range of `x`"),
        ({"ranges": {}}, "at least one parameter"),
        ({"ranges": {"x": (0.0, 1.0)}}, "values for 'y'"),
        ({"function": lambda x, y: jnp.stack([x, y])}, "one scalar"),
        ({"function": lambda x, y, key: x}, "random numbers"),
    ],
)
def test_bad_arguments(options, message):
    arguments = {"function": circle, "ranges": SQUARE} | options
    with pytest.raises((ValueError, sweeps.SweepError), match=message):
        boundary(**arguments)
