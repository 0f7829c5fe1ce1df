import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_genetic_trainings_run_dry(tmp_path, mnist_dir):
    """Two generations of each on the CPU, with their losses and the winners' weights left in the folder."""
    settings = {"GENETIC": "1", "SMALL": "1", "PYTHON": sys.executable, "THERMOTORCH_DATA": str(mnist_dir)}
    script = ["bash", "scripts/gpu_train.sh", str(tmp_path)]
    ran = subprocess.run(script, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True, timeout=600)
    logs = "".join(path.read_text(encoding="utf-8")[-2000:] for path in (tmp_path / "logs").glob("*.txt"))
    assert ran.returncode == 0, ran.stdout + ran.stderr + logs
    for name in ("cosine_genetic", "classifier_genetic"):
        assert f"{name}: status 0" in ran.stdout
        assert (tmp_path / f"{name}.ckpt").is_file()
        assert (tmp_path / "logs" / f"{name}.csv").is_file()
