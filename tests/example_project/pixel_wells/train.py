"""pixel-wells-train experiment=pixel_wells_digits trainer.max_steps=100"""

import hydra
from omegaconf import DictConfig

from thermotorch import cli


@hydra.main(version_base="1.3", config_path="configs", config_name="pixel_wells")
def main(cfg: DictConfig) -> None:
    cli.train(cfg)


if __name__ == "__main__":
    main()
