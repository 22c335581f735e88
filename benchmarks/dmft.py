"""Accuracy against time of the two-time solvers, beside a compiled first-order scheme.

The baseline is what published codes do: explicit Euler steps and rectangle sums on a uniform grid,
here compiled by numba. Cbar(10) of the spiked model p = 3, Delta_2 = 0.5, Delta_3 = 4 from
Cbar(0) = 1e-4, gradient flow.

    python benchmarks/dmft.py
"""

import os
import sys

sys.path.insert(0, os.path.dirname(__file__))

import _measure
import jax
import numba
import numpy as np

from jaxsp import dmft, spiked

jax.config.update("jax_enable_x64", True)

T_MAX, START = 10.0, 1e-4


@numba.njit(fastmath=True)
def euler(t_max, steps, overlap):
    """Cbar at the end for Q = x^2 + x^3 / 12 at zero temperature."""
    h = t_max / steps
    C, R = np.zeros((steps + 1, steps + 1)), np.zeros((steps + 1, steps + 1))
    b, k, q1 = np.zeros(steps + 1), np.zeros(steps + 1), np.zeros(steps + 1)
    C[0, 0] = R[0, 0] = 1.0
    b[0] = overlap
    for n in range(steps):
        force = 2 * b[n] + b[n] ** 2 / 4
        mu = force * b[n]
        for s in range(n + 1):
            x = C[n, s]
            q1[s] = 2 * x + x * x / 4
            k[s] = R[n, s] * (2 + x / 2)
            mu += h * (R[n, s] * q1[s] + k[s] * x)
        memory = 0.0
        for s in range(n + 1):
            memory += k[s] * b[s]
        b[n + 1] = b[n] + h * (-mu * b[n] + force + h * memory)
        for j in range(n + 1):
            change, inner = 0.0, 0.0
            for s in range(j):
                change += k[s] * C[j, s] + q1[s] * R[j, s]
            change += k[j] * C[j, j] + q1[j] * R[j, j]
            for s in range(j + 1, n + 1):
                change += k[s] * C[s, j]
            for s in range(j, n + 1):
                inner += k[s] * R[s, j]
            C[n + 1, j] = C[n, j] + h * (-mu * C[n, j] + force * b[j] + h * change)
            R[n + 1, j] = R[n, j] + h * (-mu * R[n, j] + h * inner)
        C[n + 1, n + 1] = R[n + 1, n + 1] = 1.0
    return b[steps]


def main():
    model = spiked.MatrixTensor(p=3, delta2=0.5, deltap=4.0)
    problem = dmft.SphericalDynamics(model, temperature=0.0, initial_overlap=START)

    def ours(steps, levels):
        grid = dmft.UniformGrid(steps=steps, levels=levels)
        return lambda: dmft.solve(problem, T_MAX, solver=grid).table.overlap[-1]

    exact = float(ours(200, 4)())
    rows = {}
    for steps in (250, 500, 1000, 2000):
        run = lambda steps=steps: euler(T_MAX, steps, START)  # noqa: E731
        times = _measure.alternate(3, run=run)["run"]
        rows[f"first order, {steps} steps"] = (abs(run() / exact - 1), times)
    for steps, levels in ((20, 2), (40, 2), (40, 3), (80, 3), (60, 4), (120, 4)):
        run = ours(steps, levels)
        times = _measure.alternate(5, run=run)["run"]
        rows[f"uniform grid, {steps} steps, {levels} levels"] = (
            abs(float(run()) / exact - 1), times,
        )  # fmt: skip
    _measure.record(
        "dmft",
        {
            name: {"relative error of Cbar(10)": error, "seconds": _measure.summary(times)}
            for name, (error, times) in rows.items()
        },
    )


if __name__ == "__main__":
    main()
