"""The spiked matrix-tensor model: statics, thresholds, landscape, AMP (arXiv 1812.09066, 1902.00139)."""

from .model import (
    MatrixTensor as MatrixTensor,
    Spherical as Spherical,
    pure_p_spin as pure_p_spin,
    spherical as spherical,
    spiked_wigner as spiked_wigner,
)
from .replica import (
    BayesOptimal as BayesOptimal,
    Branches as Branches,
    MaximumLikelihood as MaximumLikelihood,
    bayes_optimal as bayes_optimal,
    free_entropy as free_entropy,
    maximum_likelihood as maximum_likelihood,
    uninformed_energy as uninformed_energy,
)
