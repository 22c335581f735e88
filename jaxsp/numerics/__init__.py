"""The numerics floor: quadrature, fixed points, roots and extrema. It knows no physics.

Everything here passes under `jit`, `vmap`, `grad` and `shard_map` and their compositions, has
derivatives by the implicit function theorem, and returns its status with its result.
"""

from ._expectation import (
    Expectation as Expectation,
    gaussian_expectation as gaussian_expectation,
    integrate as integrate,
)
from ._extremum import (
    bracketed_extremum as bracketed_extremum,
    stationary_point as stationary_point,
)
from ._fixed_point import (
    AbstractIteration as AbstractIteration,
    Anderson as Anderson,
    Damped as Damped,
    FixedPoint as FixedPoint,
    fixed_point as fixed_point,
)
from ._implicit import (
    implicit_root as implicit_root,
    with_implicit_derivative as with_implicit_derivative,
)
from ._loop import (
    best_entry as best_entry,
    evaluated_if as evaluated_if,
    frozen as frozen,
    numbers_as_arrays as numbers_as_arrays,
    varying_like as varying_like,
)
from ._quadrature import (
    Rule as Rule,
    gauss_hermite as gauss_hermite,
    gauss_legendre as gauss_legendre,
    gaussian_panels as gaussian_panels,
    graded_panels as graded_panels,
    panels as panels,
    product as product,
    real_dtype as real_dtype,
    refined_order as refined_order,
    tanh_sinh as tanh_sinh,
    trapezoid as trapezoid,
)
from ._result import (
    RESULTS as RESULTS,
    SolverError as SolverError,
    first_failure as first_failure,
    is_concrete as is_concrete,
    raise_unless_successful as raise_unless_successful,
)
from ._root import (
    Root as Root,
    bracketed_root as bracketed_root,
    newton_root as newton_root,
    search_bracket as search_bracket,
)
from ._special import (
    arcsin as arcsin,
    inverse_mills as inverse_mills,
    log_ndtr as log_ndtr,
    log_ndtr_difference as log_ndtr_difference,
    log_normal_density as log_normal_density,
    log_sum_exp as log_sum_exp,
    mean_excess as mean_excess,
    truncated_variance as truncated_variance,
)
