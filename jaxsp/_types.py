"""Type aliases of the public API."""

from typing import TypeAlias

from jaxtyping import Array, Bool, Float, Int, Num

Scalar: TypeAlias = Float[Array, ""]
"""A floating-point scalar array."""

ScalarLike: TypeAlias = float | int | Num[Array, ""]
"""What the public functions take as a number: a Python number or a scalar array."""

Flag: TypeAlias = Bool[Array, ""]
"""A boolean scalar array."""

Count: TypeAlias = Int[Array, ""]
"""An integer scalar array."""
