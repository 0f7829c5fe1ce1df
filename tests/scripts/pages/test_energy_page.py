from pathlib import Path

import torch

from scripts.pages.claims import claims
from scripts.pages.energy_page import COMMAND, energy_page, introduction, quantities_section
from tests.evaluation.energy.joules import close
from tests.evaluation.energy.test_devices import RUN
from tests.evaluation.energy.test_machine_run import machine
from tests.evaluation.stand_ins import Digital
from thermotorch.evaluation.energy.digital_count import DigitalCount
from thermotorch.evaluation.energy.digital_hardware import HARDWARE_CLASSES
from thermotorch.evaluation.energy.thermodynamic import DEVICES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "energy.md"
KT = 1.380649e-23 * 300


def test_the_three_claims_are_three_kinds_of_estimate():
    work = DigitalCount(10**9, {"": 10**9}, 10**6, 10**6, 10**6, 784)
    prl, pnas, extropic = claims("ddpm", work, "machine", RUN, "classifier", 1e5)
    assert prl.value == close(1e9 * 2.3e-12 / (1000 * KT))
    assert pnas.value == close(26_432 * 4.6e-12 / (1e5 * KT))
    assert "26,432 multiply-adds at 1 pJ, would give 6e+07" in pnas.divides  # the sheet's check of the paper's claim
    dtca = next(device for device in DEVICES if device.name == "dtca").ledger("machine", RUN).total.joule
    assert extropic.value == close(1e9 * 400 / 19.5e12 / dtca)
    assert "at most" in extropic.here


def test_the_page_names_every_device_class_and_its_own_command():
    torch.manual_seed(0)
    text = energy_page(
        "generator.small", machine(), "digital", Digital(), "classifier", 1e5, command="python here.py", num_samples=8,
        steps=4,
    )  # fmt: skip
    assert "python here.py" in text and "digital, steps 4" in text
    assert all(f"| {hardware.name} " in text for hardware in HARDWARE_CLASSES)
    assert all(device.name in text for device in DEVICES)
    assert f"{4 * 2 * 36 * 36:,} operations for a sample" in text
    assert "measured" not in "".join(line for line in text.splitlines() if line.startswith("| J per sample"))


def test_the_page_in_the_repository_has_today_s_quantities():
    """A number that changes in the code changes the page: `python -m scripts.pages.energy_page`."""
    assert quantities_section() in PAGE.read_text(encoding="utf-8")


def test_the_page_in_the_repository_begins_with_today_s_words_and_code():
    assert PAGE.read_text(encoding="utf-8").startswith(introduction(COMMAND))
