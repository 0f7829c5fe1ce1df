"""Linear algebra by the noise of a thermodynamic device."""

from thermotorch.linear_algebra.determinant import Switching, logdet_by_integration, logdet_by_switching
from thermotorch.linear_algebra.device import Device, Estimate, Readout, RelaxationWarning
from thermotorch.linear_algebra.natural_gradient import (
    gauss_newton,
    natural_gradient,
    output_jacobian,
    softmax_curvature,
)
from thermotorch.linear_algebra.regression import Prediction, bayesian_linear_regression, gaussian_process
from thermotorch.linear_algebra.solve import expm, inverse, lyapunov, solve

__all__ = [
    "Device",
    "Estimate",
    "Prediction",
    "Readout",
    "RelaxationWarning",
    "Switching",
    "bayesian_linear_regression",
    "expm",
    "gauss_newton",
    "gaussian_process",
    "inverse",
    "logdet_by_integration",
    "logdet_by_switching",
    "lyapunov",
    "natural_gradient",
    "output_jacobian",
    "softmax_curvature",
    "solve",
]
