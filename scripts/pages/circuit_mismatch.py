"""Print how often digits of imperfect devices show the class asked for, against the mismatch of their components.

python -m scripts.pages.circuit_mismatch        # a minute
"""

import torch

from scripts.pages.circuit_digits import NAME, SAMPLES, judge, obeyed
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.models.imperfections import realise
from thermotorch.zoo import load_checkpoint

DEVICES = 5


def main() -> None:
    classifier = judge()
    for mismatch in (0.0, 0.02, 0.05, 0.1, 0.2, 0.3):
        found = []
        for device in range(DEVICES):
            machine = realise(load_checkpoint(NAME), mismatch=mismatch, seed=0, device_id=device)
            assert isinstance(machine, ThermodynamicGenerator)
            found.append(obeyed(classifier, machine.generate(SAMPLES, seed=0)))
        values = torch.tensor(found)
        print(f"mismatch {mismatch:g}: mean {values.mean():.3f}, worst {values.min():.3f} of {DEVICES} devices")


if __name__ == "__main__":
    main()
