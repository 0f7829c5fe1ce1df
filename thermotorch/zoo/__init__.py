"""Registry of models and of their trained weights."""

from thermotorch.zoo.checkpoints import (
    load_card,
    load_checkpoint,
    load_reference,
    record_rows,
    save_checkpoint,
    save_reference,
)
from thermotorch.zoo.factory import create_model, list_models
from thermotorch.zoo.lookup import list_checkpoints
from thermotorch.zoo.registry import register_model

__all__ = [
    "create_model",
    "list_checkpoints",
    "list_models",
    "load_card",
    "load_checkpoint",
    "load_reference",
    "record_rows",
    "register_model",
    "save_checkpoint",
    "save_reference",
]
