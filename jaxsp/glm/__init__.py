"""Generalised linear models: teacher-student theory at the Bayes optimum, and AMP."""

from .model import GLM as GLM
