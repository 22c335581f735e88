"""Batch learning: convex empirical risk minimisation on Gaussian covariates, at high dimension."""

from .asymptotics import Fit as Fit, FitOverlaps as FitOverlaps, asymptotics as asymptotics
from .losses import (
    Convex as Convex,
    FromProximal as FromProximal,
    Hinge as Hinge,
    Logistic as Logistic,
    Loss as Loss,
    Square as Square,
)
from .model import (
    GaussianCovariates as GaussianCovariates,
    TeacherModes as TeacherModes,
    hidden_manifold as hidden_manifold,
)
