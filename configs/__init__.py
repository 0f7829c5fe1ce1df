"""Hydra configurations. A package, so that `pkg://thermotorch.configs` is found without a warning."""
