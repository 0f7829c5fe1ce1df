"""The description of a machine for a page, and the machines that a page cannot show."""

import base64
import json
import re

import numpy as np
import pytest
import torch

from tests.page.test_machine import small, small_chain
from thermotorch.models.imperfections import realise
from thermotorch.page.description import CHARACTERS, describe
from thermotorch.page.description import written as levels_of
from thermotorch.page.write import page, write_page
from thermotorch.zoo import list_models, load_checkpoint


def values(numbers) -> torch.Tensor:
    levels = np.frombuffer(base64.b64decode(numbers["levels"]), np.int8)
    return torch.tensor(levels * numbers["scale"], dtype=torch.float32)


def test_the_levels_are_those_of_the_machine_on_eight_bits():
    machine = load_checkpoint("generator.mnist_unlabelled")
    stage = json.loads(json.dumps(describe(machine, "generator.mnist_unlabelled")))["first"]
    realise(machine, bits=8)
    (block,) = stage["couplings"]
    assert (block["rows"], block["columns"]) == ("visible", "hidden")
    expected = machine.potential.couplings.block("visible", "hidden")
    # Scale and parameters are float32: a level times the scale is off by a few epsilons of 1.2e-7.
    torch.testing.assert_close(values(block).view_as(expected), expected.detach(), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(values(stage["bias"]), machine.potential.bias.detach(), rtol=1e-6, atol=1e-7)
    assert [(group["name"], group["j2"], group["second"]) for group in stage["groups"]] == [
        ("visible", 0.5, False),
        ("hidden", -0.5, True),
    ]


def test_describing_leaves_the_machine_as_it_was():
    machine = load_checkpoint("generator.mnist_unlabelled")
    before = {name: value.clone() for name, value in machine.state_dict().items()}
    describe(machine, "generator.mnist_unlabelled")
    assert all(torch.equal(value, before[name]) for name, value in machine.state_dict().items())


def test_labels_are_held():
    groups = describe(small(), "small")["first"]["groups"]
    assert {group["name"]: group["mobility"] for group in groups} == pytest.approx(
        {"visible": 1.0, "hidden1": 0.7, "hidden2": 0.7, "label": 0.0}
    )


SHOWN = {
    "generator.mnist",
    "generator.mnist_unlabelled",
    "generator.mnist_conditional",
    "generator.mnist_chain",
    "generator.digits8x8",
}
REASONS = {
    "generator.three_digits": "runs by integrator='euler_maruyama'",
    "generator.mnist_scheduled": "follows a schedule",
}


@pytest.mark.parametrize("name", sorted(set(list_models(pretrained=True)) - SHOWN))
def test_a_model_of_the_zoo_that_cannot_be_shown_is_named(name, tmp_path):
    """The reason is of the model; nothing is written."""
    with pytest.raises(ValueError, match=re.escape(name)) as error:
        write_page(load_checkpoint(name), name, tmp_path / "page.html")
    assert REASONS.get(name, "shows a ThermodynamicGenerator") in str(error.value)
    assert not list(tmp_path.iterdir())


def test_the_stages_of_a_chain_have_their_own_clocks_wells_and_couplings():
    chain = small_chain(readout_time=0.4)
    found = json.loads(json.dumps(describe(chain, "chain")))
    assert (found["bits"], found["temperature"], found["order"]) == (6, 0.1, [1, 0, 1])
    assert (found["first"]["temperature"], found["first"]["steps"], found["first"]["readout_steps"]) == (0.2, 20, 0)
    for written, stage in zip(found["stages"], chain.stages, strict=True):
        assert (written["temperature"], written["dt"], written["steps"], written["readout_steps"]) == (0.1, 0.1, 12, 3)
        assert (written["classes"], written["angle"]) == (3, stage.angle)
        assert (written["noising_time"], written["amplitude"]) == (stage.noising_time, stage.amplitude)
        assert written["hidden_spread"] == stage.hidden_spread
        assert [(group["name"], group["start"], group["size"], group["mobility"]) for group in written["groups"]] == [
            ("visible", 0, 9, 1.0),
            ("hidden", 9, 7, 1.0),
        ]
        for name, expected in (
            ("held_hidden", stage.held_hidden.T),
            ("held_visible", stage.held_visible),
            ("label_hidden", stage.label_hidden.T),
            ("bias", stage.potential.bias),
        ):
            levels = torch.tensor([CHARACTERS.index(letter) - 31 for letter in written[name]["levels"]])
            shown = (levels * written[name]["scale"]).view_as(expected)
            # The chain has these levels already, so that only rounding in float32 is left.
            torch.testing.assert_close(shown.double(), expected.double(), rtol=1e-6, atol=1e-7)


def test_a_group_of_different_wells_is_refused():
    machine = small()
    machine.potential.j2[0] += 0.1
    with pytest.raises(ValueError, match="different wells"):
        describe(machine, "uneven")


def test_three_channels_are_refused():
    with pytest.raises(ValueError, match="draws 3 channels"):
        describe(small(image_shape=[3, 2, 2]), "colourful")


def test_a_page_says_the_numbers_of_its_machine_and_begins_with_the_seed_asked_for():
    """Two hidden layers count together, labels are no pixels, and what is in the name stays text."""
    machine = small(image_shape=[1, 2, 5], display_range=[-0.25, 1.5])
    text = page(machine, 'small <&> "one"', seed=7)
    written = json.loads(re.search(r"\{\"format\".*?\}(?=</script>|;|\n)", text)[0].replace("\\u003c", "<"))
    assert written == {**describe(machine, 'small <&> "one"'), "seed": 7}
    assert written["image_shape"] == [2, 5] and written["display_range"] == [-0.25, 1.5]
    assert (written["format"], written["bits"], written["stages"], written["order"]) == (2, 8, [], [])
    assert "has 10 units for pixels and 8 hidden ones" in text and "rounded to 8 bits each" in text
    assert "at 300 K" in text and "stages follows" not in text
    assert "<title>Noise becomes digits: small &lt;&amp;&gt; &quot;one&quot;</title>" in text
    assert "small <&>" not in text
    assert written["temperature"] == machine.temperature
    assert written["joule_per_energy"] * machine.temperature == pytest.approx(1.380649e-23 * 300, rel=1e-9)
    first = written["first"]
    clock = {key: first[key] for key in ("temperature", "dt", "steps", "readout_steps")}
    assert clock == {"temperature": machine.temperature, "dt": 0.1, "steps": 30, "readout_steps": 4}
    assert [(group["name"], group["start"], group["size"]) for group in first["groups"]] == [
        ("visible", 0, 10), ("hidden1", 10, 5), ("hidden2", 15, 3), ("label", 18, 3),
    ]  # fmt: skip
    assert [group["j4"] for group in first["groups"]] == pytest.approx([0.8] * 4)


def test_a_page_of_a_chain_counts_its_stages_and_its_bits():
    text = page(small_chain(), "chain", seed=0)
    assert "A chain of 3 stages follows" in text and "rounded to 6 bits each" in text
    assert "has 9 units for pixels" in text


@pytest.mark.parametrize(("seed", "counts"), [(-1, False), (0, True), (2**53 - 1, True), (2**53, False)])
def test_a_seed_is_one_that_a_browser_can_count_to(seed, counts):
    if counts:
        assert f'"seed":{seed}' in page(small(), "small", seed=seed)
    else:
        with pytest.raises(ValueError, match=rf"seed: expected 0 <= seed < 2\^53, .*, found {seed}"):
            page(small(), "small", seed=seed)


def test_without_a_seed_a_page_begins_with_seed_0(tmp_path):
    path = write_page(small(), "small", tmp_path / "a.html")
    assert path == tmp_path / "a.html" and path.read_text() == page(small(), "small", seed=0)


@pytest.mark.parametrize("bits", [2, 5, 6, 7, 8])
def test_levels_are_characters_up_to_six_bits_and_bytes_beyond(bits):
    given = torch.tensor([[-2.0, 1.3], [0.0, 0.4]])
    found = levels_of(given, bits)
    most = 2 ** (bits - 1) - 1
    assert found["scale"] == pytest.approx(2.0 / most)
    if bits > 6:
        levels = np.frombuffer(base64.b64decode(found["levels"]), np.int8)
    else:
        levels = np.array([CHARACTERS.index(letter) - 31 for letter in found["levels"]])
    assert levels.tolist() == [round(value / found["scale"]) for value in given.flatten().tolist()]
    assert levels_of(torch.zeros(2), bits)["scale"] == 0.0
