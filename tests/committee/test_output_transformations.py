"""General outputs under vmap and in single precision."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import committee, priors
from jaxsp.committee.fields import symmetric_potential
from jaxsp.committee.model import prepare

OUTPUTS = {
    "soft": committee.SoftCommittee(jax.scipy.special.erf, noise_variance=0.3),
    "function": committee.NoisyFunction(lambda h: jnp.prod(jnp.tanh(h)), noise_variance=0.3),
    "linear": committee.LinearOutput(noise_variance=0.3),
    "map": committee.LabelMap(lambda h: jnp.sign(jnp.prod(h)), values=(-1, 1)),
    "likelihood": committee.FromLogLikelihood(
        lambda y, h: jax.nn.log_sigmoid(y * jnp.sum(h)), values=(-1, 1)
    ),
}
QS = jnp.asarray([[0.3, 0.6], [0.5, 0.8]])


@pytest.mark.parametrize(
    "name",
    [name if name == "linear" else pytest.param(name, marks=pytest.mark.slow) for name in OUTPUTS],
)
def test_batches_and_single_precision_agree_with_single_points(name):
    model = committee.CommitteeMachine(2, priors.Gaussian(), OUTPUTS[name], order=6)

    def numbers(model, q):
        found = symmetric_potential(model, q, 1 - q, 6)
        return jnp.stack([*found.information, found.potential, found.squared_error])

    double = prepare(model)[0]
    together = jax.jit(jax.vmap(lambda q: numbers(double, q)))(QS)
    apart = jax.jit(lambda q: numbers(double, q))(QS[1])
    np.testing.assert_allclose(together[1], apart, rtol=1e-12)
    single = jax.tree.map(lambda x: x.astype(jnp.float32) if eqx.is_inexact_array(x) else x, double)
    found = jax.jit(lambda q: numbers(single, q))(QS[1].astype(jnp.float32))
    assert found.dtype == jnp.float32
    # What the points of a single precision's shorter tails leave.
    np.testing.assert_allclose(found, apart, rtol=2e-4)
