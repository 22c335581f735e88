"""Laws of inputs that several systems share: iid, Gaussian covariates, hidden manifolds."""

from ._base import Inputs as Inputs
from ._covariates import CovariateInputs as CovariateInputs
from ._data import (
    DataInputs as DataInputs,
    digits as digits,
    load_images as load_images,
    parity as parity,
    read_idx as read_idx,
)
from ._gaussian import GaussianInputs as GaussianInputs
from ._hidden_manifold import (
    HiddenManifoldInputs as HiddenManifoldInputs,
    HiddenManifoldLimit as HiddenManifoldLimit,
    fold_moments as fold_moments,
)
from ._spectra import Spectrum as Spectrum, marchenko_pastur as marchenko_pastur
