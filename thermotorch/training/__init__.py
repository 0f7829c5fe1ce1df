"""Data, Lightning modules and callbacks; the only folder that imports Lightning."""
