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

    load.__name__ = load.__qualname__ = name.replace(".", "_")
    load.__doc__ = (
        f"The trained model {name!r}: {_description(name)}\n\n"
        "Args:\n    config: constructor arguments that replace those of its card.\n"
    )
    return load


def _description(name):
    try:
        card = _load_card(name)
        data = f", trained on {card['data']['name']}" if "name" in card["data"] else ""
        return f"{card['parameters']:,} parameters{data}, licence {card['licence']}.\n\n{card['notes']}"
    except (OSError, ValueError, KeyError) as error:  # one damaged card of the user's must not take the others away
        return f"its card cannot be read: {error}"


for _name in _list_models(pretrained=True):
    globals()[_name.replace(".", "_")] = _entry_point(_name)
