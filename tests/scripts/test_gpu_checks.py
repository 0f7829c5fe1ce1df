import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_checks_of_a_gpu_run_on_the_interpreter(tmp_path):
    """Every part calls the kernels as they are now; a failure of any is the exit status."""
    pytest.importorskip("triton")
    script = Path(__file__).resolve().parents[2] / "scripts" / "gpu_checks.py"
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    subprocess.run([sys.executable, script, tmp_path, "--dry"], env=environment, check=True, capture_output=True)
    assert "FAILED" not in (tmp_path / "report.txt").read_text()
