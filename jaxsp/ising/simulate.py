"""Monte Carlo of the Ising model: many temperatures and chains at once, with error bars."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int8, PRNGKeyArray, UInt32

from .._checks import check_number
from .._types import ScalarLike
from .model import Ising2D, prepare


class Estimate(eqx.Module):
    """A mean and its standard error, one for each temperature.

    Attributes:
        mean: what was found.
        error: its standard error.
    """

    mean: Float[Array, "..."]
    error: Float[Array, "..."]


class Measurement(eqx.Module):
    r"""What a simulation found, per spin, with standard errors from independent chains.

    Attributes:
        energy: $\langle e \rangle$.
        heat_capacity: $N \beta^2 (\langle e^2 \rangle - \langle e \rangle^2)$.
        magnetization: $\langle |m| \rangle$, of the sublattices where couplings are negative.
        susceptibility: $N \beta (\langle m^2 \rangle - \langle |m| \rangle^2)$.
        binder_cumulant: $1 - \langle m^4 \rangle / (3 \langle m^2 \rangle^2)$.
        energy_drift: energy of the second half of the run minus that of the first: more than a few
            errors mean that the chains started too far from equilibrium.
    """

    energy: Estimate
    heat_capacity: Estimate
    magnetization: Estimate
    susceptibility: Estimate
    binder_cumulant: Estimate
    energy_drift: Estimate


def simulate(
    model: Ising2D,
    temperature: ScalarLike | Float[Array, "..."],
    *,
    key: PRNGKeyArray,
    sweeps: int = 2000,
    burn_in: int = 500,
    chains: int = 16,
) -> Measurement:
    r"""Heat-bath Monte Carlo on a torus, all temperatures and chains in one compiled loop.

    The lattice is coloured so that no two neighbours share a colour (two colours, or three where a
    length is odd), and all spins of one colour are drawn at once from their conditional law. Each chain
    starts ordered, and chains are independent: their spread gives the standard errors (jackknife for
    what is not a mean), whatever the autocorrelation within a chain.

    Args:
        model: the model, with a size of at least two in each direction.
        temperature: $T > 0$, one or an array of any shape.
        key: of the random numbers. A chain depends only on the key, its number and the place of its
            temperature in the array.
        sweeps: measured sweeps of each chain, an even number.
        burn_in: sweeps before the first measurement. The relaxation time grows like $L^{2.17}$ at the
            critical temperature.
        chains: independent chains for each temperature, at least two.

    Returns:
        A `Measurement`, whose arrays have the shape of `temperature`.

    Raises:
        ValueError: if the model has no size, or an argument is out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxsp import ising
        >>> model = ising.Ising2D(size=(8, 8))
        >>> run = ising.simulate(model, jnp.array([1.5, 3.0]), key=jax.random.key(0), sweeps=100)
        >>> run.energy.mean.shape
        (2,)
    """
    if model.size is None or min(model.size) < 2:
        raise ValueError(
            f"Argument `model` must have a size of at least (2, 2), but its size is {model.size}."
        )
    check_number("temperature", temperature, minimum=0.0, strict=True)
    if sweeps < 2 or sweeps % 2:
        raise ValueError(f"Argument `sweeps` must be even and at least 2, but is {sweeps}.")
    check_number("burn_in", burn_in, minimum=0.0)
    check_number("chains", chains, minimum=2.0)
    model, temperature = prepare(model, temperature)
    return _simulate(model, temperature, key, sweeps, burn_in, chains)


class _Moments(NamedTuple):
    """Means over the sweeps of one chain; energy and size of the magnetisation from a reference."""

    energy: Array
    energy_squared: Array
    size: Array
    size_squared: Array
    square: Array
    fourth: Array


class _Reference(NamedTuple):
    """Where variances are counted from, so that they do not cancel in float32."""

    energy: Array
    size: Array


@eqx.filter_jit
def _simulate(model: Ising2D, temperature: Array, key, sweeps: int, burn_in: int, chains: int):
    flat = temperature.ravel()
    places = jnp.arange(flat.size)[:, None] * chains + jnp.arange(chains)
    keys = jax.vmap(jax.vmap(lambda place: jax.random.fold_in(key, place)))(places)
    tables = jax.vmap(lambda t: _table(model, t))(flat)
    order = _order(model)

    def relax(key, table):
        def step(spins, index):
            return _sweep(spins, jax.random.fold_in(key, index), table), None

        return jax.lax.scan(step, order, jnp.arange(burn_in))[0]

    def measure(key, table, spins, reference):
        """Moments over both halves of the run."""

        def step(carry, index, start):
            spins, mean = carry
            spins = _sweep(spins, jax.random.fold_in(key, start + index), table)
            now = _moments(model, order, spins, reference)
            mean = jax.tree.map(lambda m, x: m + (x - m) / (index + 1).astype(x.dtype), mean, now)
            return (spins, mean), None

        def half(spins, start):
            zero = jax.tree.map(jnp.zeros_like, _moments(model, order, spins, reference))
            return jax.lax.scan(
                lambda carry, index: step(carry, index, start),
                (spins, zero),
                jnp.arange(sweeps // 2),
            )[0]

        return jax.lax.scan(half, spins, burn_in + (sweeps // 2) * jnp.arange(2))[1]

    each_chain = jax.vmap(relax, in_axes=(0, None))
    spins = jax.vmap(each_chain)(keys, tables)
    reached = jax.vmap(jax.vmap(lambda s: _observe(model, order, s)))(spins)
    reference = jax.tree.map(lambda x: jnp.mean(x, axis=1), reached)
    each_chain = jax.vmap(measure, in_axes=(0, None, 0, None))
    # (temperatures, chains, halves)
    halves = jax.vmap(each_chain)(keys, tables, spins, reference)

    whole = jax.tree.map(lambda x: jnp.mean(x, axis=-1), halves)
    beta, sites = 1 / flat, spins[0, 0].size

    def estimate(f: Callable[[_Moments], Array]) -> Estimate:
        found = _jackknife(f, whole)
        return jax.tree.map(lambda x: x.reshape(temperature.shape), found)

    drift = _mean(halves.energy[..., 1] - halves.energy[..., 0])
    return Measurement(
        energy=estimate(lambda m: m.energy + reference.energy),
        heat_capacity=estimate(lambda m: sites * beta**2 * (m.energy_squared - m.energy**2)),
        magnetization=estimate(lambda m: m.size + reference.size),
        susceptibility=estimate(lambda m: sites * beta * (m.size_squared - m.size**2)),
        binder_cumulant=estimate(lambda m: 1 - m.fourth / (3 * m.square**2)),
        energy_drift=jax.tree.map(lambda x: x.reshape(temperature.shape), drift),
    )


def _order(model: Ising2D) -> Int8[Array, "rows columns"]:
    """The ground state: equal spins, alternating along negative couplings."""
    assert model.size is not None
    rows, columns = (jnp.arange(length) % 2 for length in model.size)
    odd = rows[:, None] * (jnp.asarray(model.vertical) < 0)
    odd = odd + columns * (jnp.asarray(model.horizontal) < 0)
    return (1 - 2 * (odd % 2)).astype(jnp.int8)


def _table(model: Ising2D, temperature: Array) -> UInt32[Array, "3 3"]:
    """Probability of an up spin in units of 2^-32, for 0, 1, 2 up neighbours in each direction."""
    up = jnp.arange(-1, 2)
    field = 2 * (model.vertical * up[:, None] + model.horizontal * up)
    probability = jax.nn.sigmoid(2 * field / temperature)
    top = jnp.iinfo(jnp.uint32).max
    # What rounds to 2^32 has no integer: one less is the largest.
    certain = probability * 2.0**32 > top - 256
    return jnp.where(certain, top, jnp.where(certain, 0, probability * 2.0**32).astype(jnp.uint32))


def _sweep(spins: Int8[Array, "rows columns"], key, table: UInt32[Array, "3 3"]):
    """Each spin drawn once from its law given its neighbours, one colour after the other."""
    bits = jax.random.bits(key, spins.shape, jnp.uint32)
    colors = _coloring(*spins.shape)
    for color in range(colors.max() + 1):
        vertical = jnp.roll(spins, 1, 0) + jnp.roll(spins, -1, 0)
        horizontal = jnp.roll(spins, 1, 1) + jnp.roll(spins, -1, 1)
        likely = _pick(vertical, [_pick(horizontal, row) for row in table])
        drawn = jnp.where(bits < likely, 1, -1).astype(jnp.int8)
        spins = jnp.where(colors == color, drawn, spins)
    return spins


def _pick(pair: Array, choices) -> Array:
    """By the sum of two spins, -2, 0 or 2; selections are twice as fast as looking up in a table."""
    low, middle, high = choices
    return jnp.where(pair < 0, low, jnp.where(pair > 0, high, middle))


def _coloring(rows: int, columns: int) -> np.ndarray:
    """Colours of the sites, different for neighbours: two, or three if a length is odd."""

    def ring(length):
        colors = np.arange(length) % 2
        if length % 2:
            colors[-1] = 2
        return colors

    return (ring(rows)[:, None] + ring(columns)) % (3 if rows % 2 or columns % 2 else 2)


def _observe(model: Ising2D, order: Array, spins: Array) -> _Reference:
    """Energy and size of the magnetisation per spin; sums of spins are whole numbers."""

    def mean(products):
        return jnp.sum(products, dtype=jnp.int32) / spins.size

    bonds_down = mean(spins * jnp.roll(spins, 1, 0))
    bonds_right = mean(spins * jnp.roll(spins, 1, 1))
    dtype = jnp.asarray(model.horizontal).dtype
    energy = -model.vertical * bonds_down - model.horizontal * bonds_right
    return _Reference(energy.astype(dtype), jnp.abs(mean(spins * order)).astype(dtype))


def _moments(model: Ising2D, order: Array, spins: Array, reference: _Reference) -> _Moments:
    energy, size = _observe(model, order, spins)
    e, m = energy - reference.energy, size - reference.size
    return _Moments(e, e**2, m, m**2, size**2, size**4)


def _mean(chains: Float[Array, "temperatures chains"]) -> Estimate:
    error = jnp.std(chains, axis=1, ddof=1) / chains.shape[1] ** 0.5
    return Estimate(jnp.mean(chains, axis=1), error)


def _jackknife(f: Callable[[_Moments], Array], moments: _Moments) -> Estimate:
    """A function of the moments' means over chains, and its standard error by leaving out one chain."""
    count = moments.energy.shape[1]
    mean = jax.tree.map(lambda x: jnp.mean(x, axis=1), moments)
    # From the mean, not from the sum: the spread of the chains is what counts.
    without = jax.tree.map(lambda x, m: m[:, None] - (x - m[:, None]) / (count - 1), moments, mean)
    values = jax.vmap(f, in_axes=1, out_axes=1)(without)
    return Estimate(f(mean), jnp.std(values, axis=1) * (count - 1) ** 0.5)
