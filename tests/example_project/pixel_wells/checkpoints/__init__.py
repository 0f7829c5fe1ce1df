"""Trained weights that ship with this package."""
