"""torch.hub entry points: one for each trained model, and `create_model` for every other use.

torch.hub.load("path/to/this/clone", "generator_three_digits", source="local")
"""

from functools import partial

from thermotorch.zoo import create_model, list_models

dependencies = ["torch", "safetensors"]

for _name in list_models(pretrained=True):
    globals()[_name.replace(".", "_")] = partial(create_model, _name, pretrained=True)
