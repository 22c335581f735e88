r"""The long-time solver: a grid of ratios $t'/t$, and implicit steps that grow with the time."""

import dataclasses
import math
import os
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._progress import Progress, reporting
from .._types import Scalar
from ..numerics import RESULTS, first_failure, is_concrete
from ._checkpoint import Checkpoint
from ._interpolation import lagrange_weights
from ._ratio_blocks import advance_blocks, begin_blocks
from ._ratio_march import March, advance, begin
from ._ratio_mesh import Mesh, Panels, ratio_mesh
from ._ratio_table import disagreement, first_rows, rate_of, table_of
from .problem import SphericalDynamics
from .solution import Solution
from .uniform import UniformGrid

# The start: a uniform grid, up to so many times the inverse rate.
_START, _TIMES = UniformGrid(steps=96, levels=3), 4.0
_ROOM = 128
# How much coarser the second solution is, and how much worse than asked it may show the first to be.
_COARSER, _FEWER_NODES, _WORST = 8.0, 2, 100.0
_LEAST_ROOM = 192
# A step's share of the error asked for; the softness (see `advance`) in units of it, and at most: the
# clock is wrong by a tenth of it, and beyond 1e-3 oscillates. Of the second solution too, whose longer
# steps would else leave oscillations to be seen in place of errors.
_SHARE, _SOFT, _SOFTEST = 0.25, 50.0, 2.5e-4
_SOFTEST_OF_ALL = 5e-4
# What a panel's polynomial misses falls by so much with each node: a power of the ratio is singular one
# panel's width beside it.
_DECAY, _FEWEST, _MOST = 3 + math.sqrt(8), 10, 24
# From this time on, in units of the inverse rate, rows come in blocks.
_OLD = 1e6
# Attempts between two checkpoints.
_CHUNK = {advance: 16, advance_blocks: 1}


class RatioGrid(eqx.Module):
    r"""Implicit multistep rules along rays $t' = \theta t$, with steps proportional to the time.

    The nodes in $\theta$ are Gauss points in panels that halve towards both ends, down to a width of
    about one unit of time at $t_{\max}$; the equations in $t$ and in $t'$ give the derivative on each ray
    (arXiv 2504.06849 for ratio grids). Rows solve a variable-step rule of Gear in $\log(1 + t)$ by
    Newton's method, and read history from polynomials through rows, so that time and memory are
    proportional to $\log t_{\max}$ and rays. It starts from a `UniformGrid`.

    `error_estimate` is the largest difference, over all times, of correlation, response (times the lag),
    overlap, multiplier and energies from those of a second solution of eight times the tolerance and two
    nodes less in each panel: mostly that one's error. A solution that it shows to be a hundred times less
    accurate than asked is not successful. `stats` counts steps, rejected ones and corrections, and has
    the largest $|C(t,t) - 1|$, extrapolated from lags above zero.

    What an old glass is least sure of is its clock: the equations nearly allow any $t \to h(t)$, and energies
    hardly see it, but correlations do. For the pure 3-spin at zero temperature up to $t = 10^6$, with the
    default tolerance, the second solution, of longer steps, has $C(t, \theta t)$ off by
    $8 \cdot 10^{-5}$, where $10^{-4}$ still counts as successful. From $10^6$ inverse rates on rows that
    follow one by one would let oscillations of the clock grow; they come in blocks there, `order` + 1 of
    them, which Radau's collocation solves for jointly. (Such a block counts as one step.) With a tolerance
    of 1e-5 this reaches $t = 10^8$, where the second solution has $C$ off by $8 \cdot 10^{-4}$ of $10^{-3}$
    allowed, and the energy's distance to its threshold by one part in a thousand.

    Protocols of temperature and strengths are read at all times of the integrals. They have to be smooth:
    at a corner the order of panels and of steps is lost.

    Forward-mode derivatives and `vmap` work as everywhere; `panels` must then be given, as must be for a
    traced `t_max`. Reverse mode is refused with an error: it would keep all rows for each step. A
    `UniformGrid` has it.

    Attributes:
        rtol: what error is asked for, in units of $C(t,t) = 1$; each step is allowed a quarter of it.
        panels: halvings of the ratio towards either end; None: as many as `t_max` needs.
        nodes: Gauss points in each panel; None: 10 or, for old systems, as many as the clock asks for
            (14 to $t = 10^6$ at the default tolerance): what panels miss is multiplied by the time too.
        order: of the rule, 2 to 5.
        max_steps: room for rows.
        estimate_error: whether to compute the second solution, for a third of the time; without,
            `error_estimate` is infinite.
    """

    rtol: float = eqx.field(static=True, default=1e-6)
    panels: int | None = eqx.field(static=True, default=None)
    nodes: int | None = eqx.field(static=True, default=None)
    order: int = eqx.field(static=True, default=4)
    max_steps: int = eqx.field(static=True, default=2048)
    estimate_error: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        if not 0 < self.rtol < 1:
            raise ValueError(f"Argument `rtol` must be in (0, 1), but is {self.rtol}.")
        if self.panels is not None and self.panels < 3:
            raise ValueError(f"Argument `panels` must be at least 3, but is {self.panels}.")
        if self.nodes is not None and not 4 <= self.nodes <= _MOST:
            raise ValueError(f"Argument `nodes` must be in [4, {_MOST}], but is {self.nodes}.")
        if not 2 <= self.order <= 5:
            raise ValueError(f"Argument `order` must be in [2, 5], but is {self.order}.")
        if self.max_steps < _LEAST_ROOM:
            raise ValueError(
                f"Argument `max_steps` must be at least {_LEAST_ROOM}, but is {self.max_steps}."
            )

    def run(
        self,
        problem: SphericalDynamics,
        t_max: Scalar,
        *,
        checkpoint: str | os.PathLike | None = None,
        progress: bool | Callable[[Progress], None] | None = None,
    ) -> Solution:
        """The solution up to `t_max`; see `jaxsp.dmft.solve`."""
        halvings = self._halvings(problem, t_max)
        if not is_concrete((problem, t_max)):
            if checkpoint is not None:
                raise ValueError(
                    "Argument `checkpoint` must be None while `dmft.solve` is traced, but is "
                    f"{str(checkpoint)!r}."
                )
            start = _start(problem, t_max)
            ends = [
                self._whole(problem, t_max, start, halvings, *lane) for lane in self.lanes(halvings)
            ]
        else:
            if jnp.ndim(t_max):
                raise ValueError(
                    f"Argument `t_max` must have shape (), but has shape {jnp.shape(t_max)}."
                )
            kept = Checkpoint(checkpoint, problem, self, t_max)
            ends = self._in_chunks(problem, t_max, halvings, kept, progress)
        solution = _solution(self, halvings, t_max, ends)
        return _trimmed(solution) if is_concrete(solution) else _forward_only(solution)

    def with_panels(self, problem: SphericalDynamics, t_max: Scalar) -> "RatioGrid":
        """This solver with its number of panels said, as it must be where the problem is traced."""
        return dataclasses.replace(self, panels=self._halvings(problem, t_max))

    def lanes(self, halvings: int) -> list[tuple[float, int]]:
        """Tolerance and nodes of the solution, and of the second one that tells its error."""
        nodes = self.nodes
        if nodes is None:
            soft = self._softness(self.rtol)
            wanted = math.log(2 ** (halvings - 1) / soft) / math.log(_DECAY)
            nodes = min(max(math.ceil(wanted), _FEWEST), _MOST)
        coarser = (min(_COARSER * self.rtol, 0.1), max(nodes - _FEWER_NODES, 4))
        return [(self.rtol, nodes), coarser][: 2 if self.estimate_error else 1]

    def _halvings(self, problem: SphericalDynamics, t_max: Scalar) -> int:
        if self.panels is not None:
            return self.panels
        rate = rate_of(problem, t_max)
        if not is_concrete((rate, t_max)):
            raise ValueError(
                "Argument `panels` of `RatioGrid` must be given while the problem or `t_max` is traced "
                "(about log2(t_max) + 2), but is None."
            )
        return max(1 + math.ceil(math.log2(max(float(rate * t_max), 1.0))), 4)

    def _whole(
        self, problem, t_max, start: Solution, halvings: int, rtol: float, nodes: int
    ) -> March:
        """One march as one loop, for tracing."""
        mesh = ratio_mesh(halvings, nodes, t_max.dtype.name)
        state = _begin(start, mesh, self.max_steps)
        attempts = jnp.asarray(8 * self.max_steps)
        ends = _diagonal_weights(halvings, nodes, t_max.dtype)
        for phase in self._phases(problem, t_max, halvings, rtol):
            state = phase.entered(state)
            state = phase.march(problem, mesh, ends, state, t_max, attempts)
        return state

    def _softness(self, rtol: float) -> float:
        coarser = rtol / self.rtol
        return min(min(_SOFT * self.rtol, _SOFTEST) * coarser, _SOFTEST_OF_ALL)

    def _phases(
        self, problem: SphericalDynamics, t_max: Scalar, halvings: int, rtol: float
    ) -> list["_Phase"]:
        """Rows one by one, and for as many panels as old systems have, then blocks of them."""
        # Arrays: other tolerances are not compiled anew.
        each = {"order": self.order, "rtol": jnp.asarray(_SHARE * rtol, t_max.dtype)}
        alone = {**each, "softness": jnp.asarray(self._softness(rtol), t_max.dtype)}
        if 2.0 ** (halvings - 1) <= _OLD:
            return [_Phase(advance, alone | {"until": t_max})]
        old = _OLD / rate_of(problem, t_max)
        return [_Phase(advance, alone | {"until": old}), _Phase(advance_blocks, each)]

    def _in_chunks(self, problem, t_max, halvings, kept, progress) -> list[March]:
        """The marches one after the other, from where a checkpoint has them, with a bar in decades."""
        states, start = kept.read(), None
        total = len(self.lanes(halvings)) * _decades(t_max)
        done = sum(_decades(_time(state)) for state in states)
        with reporting(progress, done, total, "decades", 2) as tell:
            for lane, (rtol, nodes) in enumerate(self.lanes(halvings)):
                mesh = jax.tree.map(jnp.asarray, ratio_mesh(halvings, nodes, t_max.dtype.name))
                ends = _diagonal_weights(halvings, nodes, t_max.dtype)
                if lane == len(states):
                    start = _start(problem, t_max) if start is None else start
                    states.append(_begin(start, mesh, self.max_steps))
                for phase in self._phases(problem, t_max, halvings, rtol):
                    states[lane] = phase.entered(states[lane])
                    while not phase.over(states[lane]):
                        before = _decades(_time(states[lane]))
                        attempts = jnp.asarray(_CHUNK[phase.way])
                        states[lane] = phase.march(
                            problem, mesh, ends, states[lane], t_max, attempts
                        )
                        kept.write(states)
                        tell(_decades(_time(states[lane])) - before)
        return states


@dataclasses.dataclass
class _Phase:
    """One way to march."""

    way: Callable[..., March]
    settings: dict

    def entered(self, state: March) -> March:
        """The march as it stands at the begin of the phase, or where it was left."""
        if self.way is advance_blocks:
            return begin_blocks(state, self.settings["order"])
        return state

    def march(self, *args) -> March:
        """Some attempts more."""
        return _compiled(self.way, *args, **self.settings)

    def over(self, state: March) -> bool:
        """Whether the phase has nothing more to do."""
        end = jnp.log1p(self.settings.get("until", math.inf))
        return bool(state.done | (state.rows.clock[state.rows.count - 1] >= end))


@eqx.filter_jit
def _compiled(way: Callable[..., March], *args, **settings) -> March:
    return way(*args, **settings)


def _start(problem: SphericalDynamics, t_max: Scalar) -> Solution:
    end = jnp.minimum(_TIMES / rate_of(problem, t_max), 0.5 * jax.lax.stop_gradient(t_max))
    return _START.run(problem, end)


def _forward_only(solution: Solution) -> Solution:
    """The same, which says so if it is differentiated in reverse mode."""
    numbers, rest = eqx.partition(solution, eqx.is_inexact_array)
    numbers = eqx.internal.nondifferentiable_backward(
        numbers,
        msg="`RatioGrid` has no reverse mode: take `jax.jacfwd` or `jax.jvp`, or for short times a "
        "`UniformGrid`.",
    )
    return eqx.combine(numbers, rest)


@eqx.filter_jit
def _begin(start: Solution, mesh: Mesh, room: int) -> March:
    rows = first_rows(start, mesh, room)
    return begin(rows, jnp.sum(rows.correlation[0]))


def _diagonal_weights(halvings: int, nodes: int, dtype) -> Array:
    """Weights of the last panel's values at the diagonal, which they do not know."""
    panels = Panels(halvings, nodes)
    one = jnp.ones((), dtype)
    return lagrange_weights(one, jnp.asarray(panels.x, dtype))


def _time(state: March) -> float:
    return math.expm1(float(state.rows.clock[state.rows.count - 1]))


def _decades(t) -> float:
    """Decades of time, of which the first unit is one as well."""
    return math.log10(1 + 9 * min(float(t), 1.0)) + max(math.log10(max(float(t), 1e-300)), 0.0)


@eqx.filter_jit
def _solution(solver: RatioGrid, halvings: int, t_max: Scalar, ends: list[March]) -> Solution:
    lanes = solver.lanes(halvings)
    tables = [
        table_of(
            end.rows, ratio_mesh(halvings, nodes, t_max.dtype.name), halvings, solver.order + 1
        )
        for end, (_, nodes) in zip(ends, lanes, strict=True)
    ]
    main = ends[0]
    unfinished = RESULTS.where(main.done, RESULTS.successful, RESULTS.max_steps_reached)
    result, error = first_failure(main.result, unfinished), jnp.full_like(t_max, jnp.inf)
    if len(tables) > 1:
        error = disagreement(tables[0], tables[1], t_max)
        poor = ~(error <= _WORST * solver.rtol)
        coarse = RESULTS.where(poor, RESULTS.coarse_grid, RESULTS.successful)
        result = first_failure(result, ends[1].result, coarse)
    return Solution(
        t_max=t_max,
        table=tables[0],
        error_estimate=error,
        result=result,
        stats={
            "steps": main.attempts - main.rejected,
            "rejected": main.rejected,
            "corrections": main.iterations,
            "nodes": jnp.asarray(2 * halvings * lanes[0][1]),
            "sphere_defect": main.sphere_defect,
        },
    )


def _trimmed(solution: Solution) -> Solution:
    """Without most of the room that was not needed; sizes stay few, and what reads them compiled."""
    table = solution.table
    room, count = table.overlap.shape[0], int(table.count)  # pyright: ignore
    size = min(room, _ROOM * math.ceil(count / _ROOM))

    def cut(x):
        return jnp.asarray(np.asarray(x)[:size]) if jnp.ndim(x) and x.shape[0] == room else x

    rows = ("correlation", "response", "integrated_response", "overlap", "multiplier")
    rows += ("energies", "clock")
    return eqx.tree_at(
        lambda s: [getattr(s.table, name) for name in rows],
        solution,
        [cut(getattr(table, name)) for name in rows],
    )
