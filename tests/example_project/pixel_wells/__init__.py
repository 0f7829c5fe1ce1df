"""A thermodynamic computer with one unit for each pixel and no couplings."""
