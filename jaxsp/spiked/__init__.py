"""The spiked matrix-tensor model: statics, thresholds, landscape, AMP (arXiv 1812.09066, 1902.00139)."""

from ._tensor import SymmetricTensor as SymmetricTensor
from .amp import AMPResult as AMPResult, amp as amp, ml_amp as ml_amp
from .first_order import (
    CriticalPoint as CriticalPoint,
    Spinodals as Spinodals,
    TensorThresholds as TensorThresholds,
    critical_point as critical_point,
    first_order_threshold as first_order_threshold,
    information_theoretic_threshold as information_theoretic_threshold,
    spinodals as spinodals,
    tensor_thresholds as tensor_thresholds,
)
from .landscape import (
    CriticalPoints as CriticalPoints,
    GlassConstants as GlassConstants,
    Spectrum as Spectrum,
    bulk_place as bulk_place,
    complexity as complexity,
    critical_points as critical_points,
    glass_constants as glass_constants,
    hessian_spectrum as hessian_spectrum,
)
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
from .simulate import (
    Instance as Instance,
    energies as energies,
    gradient as gradient,
    hamiltonian as hamiltonian,
    hessian as hessian,
    on_sphere as on_sphere,
    sample_instance as sample_instance,
)
from .state_evolution import (
    ThresholdStates as ThresholdStates,
    fixed_self_overlap_state_evolution as fixed_self_overlap_state_evolution,
    growth_factor as growth_factor,
    ml_state_evolution as ml_state_evolution,
    state_evolution as state_evolution,
    threshold_states as threshold_states,
)
from .thresholds import (
    Thresholds as Thresholds,
    amp_threshold as amp_threshold,
    gradient_flow_threshold as gradient_flow_threshold,
    langevin_threshold as langevin_threshold,
    ml_amp_threshold as ml_amp_threshold,
    thresholds as thresholds,
    trivialization_threshold as trivialization_threshold,
)
from .trivialization import full_trivialization_threshold as full_trivialization_threshold
from .wishart import (
    SpikedWishart as SpikedWishart,
    WishartAMP as WishartAMP,
    WishartInstance as WishartInstance,
    WishartOptimal as WishartOptimal,
    sample_wishart as sample_wishart,
    wishart_amp as wishart_amp,
    wishart_optimal as wishart_optimal,
    wishart_state_evolution as wishart_state_evolution,
)
