"""Write docs/figures/couplings.png, hidden units' couplings to the pixels: `python -m scripts.pages.coupling_figure`.

The picture of the article on generative thermodynamic computing, for machines trained here. The first hidden units
of each machine are shown: none is chosen.
"""

from pathlib import Path

import torch

import thermotorch as tt
from thermotorch.evaluation.report.denoising_figures import connection_fields
from thermotorch.evaluation.report.pictures import to_pillow

UNITS = 10
FIGURE = Path(__file__).resolve().parents[2] / "docs" / "figures" / "couplings.png"


def coupling_rows() -> torch.Tensor:
    """Return one row for each machine, `UNITS` hidden units beside each other, [3, height, width]."""
    chain = tt.create_model("generator.mnist_chain", pretrained=True)
    potentials = [
        tt.create_model("generator.three_digits", pretrained=True).potential,
        tt.create_model("generator.mnist", pretrained=True).potential,
        chain.stages[-1].potential,
    ]
    rows = [connection_fields(potential, chain.image_shape, UNITS, columns=UNITS) for potential in potentials]
    return torch.cat(rows, dim=1)


if __name__ == "__main__":
    to_pillow(coupling_rows(), scale=3).save(FIGURE, optimize=True)
