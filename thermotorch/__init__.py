"""thermotorch: thermodynamic computers in PyTorch, simulated, trained, shipped, and compared with digital models."""

from importlib.metadata import PackageNotFoundError, version

from thermotorch.couplings import BlockCouplings, Couplings, DenseCouplings
from thermotorch.dynamics import Moments, PathAction, PathWeights, StabilityWarning, Stream, Trajectory, simulate
from thermotorch.dynamics.linear.ornstein_uhlenbeck import OrnsteinUhlenbeck
from thermotorch.dynamics.underdamped import simulate_underdamped
from thermotorch.lattice import LatticeCouplings
from thermotorch.layer import ThermodynamicLayer
from thermotorch.potential import Potential
from thermotorch.zoo import create_model, list_models, load_card, register_model

try:
    __version__ = version("thermotorch")
except PackageNotFoundError:  # a plain clone on PYTHONPATH
    __version__ = "0+unknown"

__all__ = [
    "BlockCouplings",
    "Couplings",
    "DenseCouplings",
    "LatticeCouplings",
    "Moments",
    "OrnsteinUhlenbeck",
    "PathAction",
    "PathWeights",
    "Potential",
    "StabilityWarning",
    "Stream",
    "ThermodynamicLayer",
    "Trajectory",
    "create_model",
    "list_models",
    "load_card",
    "register_model",
    "simulate",
    "simulate_underdamped",
]
