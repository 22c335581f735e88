"""Grids: their layout, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from jaxsp import sweeps
from jaxsp.sweeps._grid import Blocks, check_parameters


def test_product_grid_is_that_of_meshgrid():
    a, b = np.array([1.0, 2.0, 5.0]), np.array([-1.0, 3.0])
    grid = sweeps.Grid({"a": a, "b": b})
    found = grid.at(np.arange(grid.size))
    for name, expected in zip("ab", np.meshgrid(a, b, indexing="ij"), strict=True):
        np.testing.assert_array_equal(found[name].reshape(grid.shape), expected)


def test_points_are_those_given():
    grid = sweeps.Points({"a": [1, 2, 3], "b": [4.0, 5.0, 6.0]})
    assert grid.dims == ("point",)
    np.testing.assert_array_equal(grid.at(np.array([2, 0]))["b"], [6.0, 4.0])


@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(1, 40))
def test_blocks_cover_every_point_once(shape, chunk_size):
    blocks = Blocks(tuple(shape), chunk_size)
    index = np.concatenate([blocks.index(number) for number in blocks])
    assert blocks.size <= chunk_size
    np.testing.assert_array_equal(np.sort(index), np.arange(np.prod(shape)))
    array = np.arange(np.prod(shape)).reshape(shape)
    for number in blocks:
        np.testing.assert_array_equal(array[blocks.region(number)].ravel(), blocks.index(number))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "at least one parameter"),
        ({"a": []}, "`a` must have at least one value"),
        ({"a": [0.0, np.nan]}, "`a` must have no NaN, but has one at index 1"),
        ({"a": [[0.0]]}, r"`a` must have shape \(n,\)"),
        ({"a": ["x"]}, "`a` must have real values"),
        ({"a b": [1.0]}, "'a b'"),
    ],
)
def test_bad_grids_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        sweeps.Grid(parameters)


def test_points_of_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="one length"):
        sweeps.Points({"a": [1.0], "b": [1.0, 2.0]})


def test_parameters_are_those_of_the_function():
    def function(alpha, noise, *, scale=1.0):
        return alpha * noise * scale

    assert not check_parameters(function, ("alpha", "noise"))
    with pytest.raises(ValueError, match="'alhpa'.* Did you mean 'alpha'"):
        check_parameters(function, ("alhpa", "noise"))
    with pytest.raises(ValueError, match="must have values for 'noise'"):
        check_parameters(function, ("alpha",))
    assert check_parameters(lambda a, key: a, ("a",))
    assert not check_parameters(lambda **anything: 0.0, ("b",))
