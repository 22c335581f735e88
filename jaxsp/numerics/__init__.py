"""The numerics floor: quadrature, fixed points, roots and extrema. It knows no physics.

Everything here passes under `jit`, `vmap`, `grad` and `shard_map` and their compositions, has
derivatives by the implicit function theorem, and returns its status with its result.
"""

from ._extremum import bracketed_extremum as bracketed_extremum
from ._extremum import stationary_point as stationary_point
from ._fixed_point import AbstractIteration as AbstractIteration
from ._fixed_point import Anderson as Anderson
from ._fixed_point import Damped as Damped
from ._fixed_point import FixedPoint as FixedPoint
from ._fixed_point import fixed_point as fixed_point
from ._implicit import implicit_root as implicit_root
from ._implicit import with_implicit_derivative as with_implicit_derivative
from ._loop import varying_like as varying_like
from ._quadrature import Expectation as Expectation
from ._quadrature import Rule as Rule
from ._quadrature import gauss_hermite as gauss_hermite
from ._quadrature import gaussian_expectation as gaussian_expectation
from ._quadrature import gaussian_panels as gaussian_panels
from ._quadrature import graded_panels as graded_panels
from ._quadrature import integrate as integrate
from ._quadrature import product as product
from ._quadrature import real_dtype as real_dtype
from ._quadrature import tanh_sinh as tanh_sinh
from ._quadrature import trapezoid as trapezoid
from ._result import RESULTS as RESULTS
from ._result import SolverError as SolverError
from ._result import first_failure as first_failure
from ._result import is_concrete as is_concrete
from ._result import raise_unless_successful as raise_unless_successful
from ._root import Root as Root
from ._root import bracketed_root as bracketed_root
from ._root import newton_root as newton_root
from ._root import search_bracket as search_bracket
from ._special import inverse_mills as inverse_mills
from ._special import log_ndtr as log_ndtr
from ._special import log_ndtr_difference as log_ndtr_difference
from ._special import log_normal_density as log_normal_density
from ._special import log_sum_exp as log_sum_exp
from ._special import mean_excess as mean_excess
from ._special import truncated_variance as truncated_variance
