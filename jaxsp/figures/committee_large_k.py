"""The committee machine of many hidden units: what is possible with n of order K, what AMP needs."""

import numpy as np
from scipy import integrate, optimize, special

from .. import committee, priors
from . import _draw
from ._registry import Context, Figure
from ._report import Row

NAME = "committee-large-k"
ODD, EVEN = (3, 5, 9, 15, 25), (2, 4, 6, 10, 16, 26)


def make(context: Context) -> Figure:
    """Thresholds over the number of hidden units, with the hard region shaded."""
    limit = committee.large_k_thresholds()
    odd, even = (kinds[:4] if context.quick else kinds for kinds in (ODD, EVEN))
    found = {}
    for units in context.progress(
        sorted(odd + even), "instability of the unspecialised fixed point"
    ):
        model = committee.CommitteeMachine(hidden_units=units, prior=priors.Gaussian())
        found[units] = float(committee.specialization_threshold(model))

    prefactor = float(limit.algorithmic_over_k_squared)
    fits = {"odd": _fit(odd, found, 1.0), "even": _fit(even, found, 0.5)}
    figure, ax = _draw.axes(
        "Committee machine, Gaussian weights", "hidden units K", r"$\alpha = n/p$"
    )
    K = np.geomspace(2, 100, 60)
    possible = float(limit.information_theoretic) * K
    hard = np.maximum(prefactor * K**2, possible)
    ax.fill_between(K, possible, hard, facecolor=_draw.ORANGE, alpha=0.25, hatch="//",
                    edgecolor="#00000044", linewidth=0, label="hard (large K)")  # fmt: skip
    ax.plot(K, possible, color=_draw.GREEN, label="information-theoretic, $7.68\\,K$ (large K)")
    ax.plot(K, float(limit.spinodal) * K, color=_draw.GREEN, linestyle=":",
            label="specialised fixed point exists, $7.17\\,K$")  # fmt: skip
    ax.plot(K, prefactor * K**2, color=_draw.RED, label="AMP, $3.27\\,K^2$ (large K)")
    for kinds, label, marker in ((odd, "odd K", "o"), (even, "even K", "s")):
        ax.plot(kinds, [found[k] for k in kinds], color=_draw.RED, linestyle="none", marker=marker,
                label=f"AMP, {label}")  # fmt: skip
    ax.set(xscale="log", yscale="log", xlim=(1.8, 100))
    ax.legend(frameon=False, fontsize=8)

    units = sorted(found)
    data = _draw.dataset(
        {"units": ("units", units, "hidden units")},
        {
            "algorithmic": ("units", [found[k] for k in units], "instability of q_d = 0"),
            "information_theoretic": ((), float(limit.information_theoretic), "of alpha / K"),
            "spinodal": ((), float(limit.spinodal), "of alpha / K"),
            "prefactor": ((), prefactor, "limit of alpha / K^2 of the instability"),
        },
    )
    return Figure(figure, data, rows(limit, found, odd, fits))


def _fit(kinds, found, power: float) -> tuple[float, float]:
    """Limit of alpha / K^2 by a parabola in K^-power through the largest three; its change from two."""
    K = np.array(kinds[-3:], float)
    ratios = np.array([found[k] for k in kinds[-3:]]) / K**2
    three = np.polyval(np.polyfit(K**-power, ratios, 2), 0.0)
    two = np.polyval(np.polyfit(K[1:] ** -power, ratios[1:], 1), 0.0)
    return float(three), float(abs(three - two))


def rows(limit, found, odd, fits) -> list[Row]:
    """Thresholds by scipy, and what the instabilities at finite K say of the limit."""
    transition, spinodal = reference()
    result = [
        Row(f"{NAME}/information-theoretic threshold over K", float(limit.information_theoretic), 1e-8,
            transition, 1e-7, "scipy: minimisation over the overlap, adaptive quadrature"),
        Row(f"{NAME}/information-theoretic threshold over K, literature",
            float(limit.information_theoretic), 1e-8, 7.65, 0.035,
            "arXiv 1806.05451, whose equations give 0.4% more than it prints"),
        Row(f"{NAME}/spinodal over K", float(limit.spinodal), 1e-8, spinodal, 1e-4,
            "scipy: minimisation, finite differences"),
    ]  # fmt: skip
    prefactor = float(limit.algorithmic_over_k_squared)
    for parity, (value, spread) in fits.items():
        power = "1/K" if parity == "odd" else "1/sqrt(K)"
        result.append(Row(f"{NAME}/AMP's threshold over K^2, {parity} K extrapolated in {power}", value,
                          spread, prefactor, 1e-9,
                          "central limit theorem; the change on adding a term as uncertainty"))  # fmt: skip
    # The local exponent approaches two like 1/K: extrapolated from the last two pairs.
    K = np.array(odd, float)
    slopes = np.diff(np.log([found[k] for k in odd])) / np.diff(np.log(K))
    inverse = 1 / np.sqrt(K[1:] * K[:-1])
    exponent = np.polyval(np.polyfit(inverse[-2:], slopes[-2:], 1), 0.0)
    result.append(Row(f"{NAME}/exponent of AMP's threshold, odd K extrapolated", float(exponent),
                      float(abs(exponent - slopes[-1])), 2.0, 0.0,
                      "arXiv 1806.05451: AMP needs n of order K^2 p"))  # fmt: skip
    return result


def reference() -> tuple[float, float]:
    """Information-theoretic threshold and spinodal in units of K, with scipy alone."""

    def potential(Q):
        t = np.sqrt(Q / (1 - Q))

        def entropy(v):
            p = special.log_ndtr(t * v)
            return np.exp(-v * v / 2 + p) * p

        return (
            2 * integrate.quad(entropy, -12, 12, epsabs=1e-13, epsrel=1e-12)[0] / np.sqrt(2 * np.pi)
        )

    def at(q):
        return potential(2 / np.pi * (1 - q + np.arcsin(q)))

    plain = potential(2 / np.pi)

    def needed(q):
        return -0.5 * (np.log1p(-q) + q) / (at(q) - plain)

    def curve(q, step=1e-4):
        return 0.5 * q / (1 - q) * 2 * step / (at(q + step) - at(q - step))

    def lowest(f, low, high):
        return float(f(optimize.minimize_scalar(f, bounds=(low, high), method="bounded").x))

    return lowest(needed, 0.6, 0.995), lowest(curve, 0.5, 0.99)
