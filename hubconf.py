"""torch.hub entry points: one for each trained model, and `create_model` for every other use.

torch.hub.load("path/to/this/clone", "generator_three_digits", source="local")
"""

from thermotorch.zoo import create_model
from thermotorch.zoo import list_models as _list_models
from thermotorch.zoo import load_card as _load_card

dependencies = ["torch", "safetensors"]


def _entry_point(name):
    def load(**config):
        return create_model(name, pretrained=True, **config)

    card = _load_card(name)
    trained_on = f", trained on {card['data']['name']}" if "name" in card["data"] else ""
    load.__name__ = load.__qualname__ = name.replace(".", "_")
    load.__doc__ = (
        f"The trained model {name!r}: {card['parameters']:,} parameters{trained_on}, licence {card['licence']}.\n\n"
        f"{card['notes']}\n\nArgs:\n    config: constructor arguments that replace those of its card.\n"
    )
    return load


for _name in _list_models(pretrained=True):
    globals()[_name.replace(".", "_")] = _entry_point(_name)
