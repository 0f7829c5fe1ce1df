from dataclasses import replace

import pytest

from tests.evaluation.stand_ins import Device, Digital
from thermotorch.evaluation import Protocol
from thermotorch.evaluation.entries import entries_of, in_words
from thermotorch.evaluation.generation import generate
from thermotorch.models.protocol import abilities
from thermotorch.zoo import create_model

PROTOCOL = Protocol(sampler="ddim", steps=7)


class Sampled(Digital):
    """With samplers of its own, of up to 100 steps."""

    samplers = {"dpm++": 20, "ddim": 50}

    def steps_of(self, sampler, steps=None):
        if steps is not None and steps > 100:
            raise ValueError(f"steps: expected at most 100, found {steps}")
        return steps or self.samplers[sampler]


def test_each_model_is_one_entry_with_the_sampler_of_the_protocol():
    entries = entries_of({"device": Device(), "digital": Sampled()}, PROTOCOL)
    assert [(entry.label, entry.name) for entry in entries] == [("device", "device"), ("digital", "digital")]
    assert all(entry.protocol == PROTOCOL for entry in entries)


def test_samplers_multiply_the_models_that_have_them():
    models = {"device": Device(), "digital": Sampled(), "other": Sampled()}
    entries = entries_of(models, PROTOCOL, ["dpm++:10", "ddim"])
    assert [entry.label for entry in entries] == [
        "device", "digital, dpm++ 10", "digital, ddim 50", "other, dpm++ 10", "other, ddim 50",
    ]  # fmt: skip
    assert [(entry.protocol.sampler, entry.protocol.steps) for entry in entries[1:3]] == [("dpm++", 10), ("ddim", None)]
    assert entries[1].model is entries[2].model is models["digital"]


@pytest.mark.parametrize(
    ("samplers", "message"),
    [
        (["ddmi:10"], "unknown sampler of digital 'ddmi'; did you mean 'ddim'"),
        (["ddim:ten"], "samplers: expected 'name' or 'name:steps' such as 'ddim:50', found 'ddim:ten'"),
        (["ddim:"], "samplers: expected 'name' or 'name:steps'"),
        (["ddim:101"], "digital, sampler ddim: steps: expected at most 100, found 101"),
        (["ddim:10", "ddim:10"], "samplers: ddim:10 more than once"),
    ],
)
def test_samplers_that_cannot_work_are_refused(samplers, message):
    with pytest.raises(ValueError, match=message):
        entries_of({"digital": Sampled()}, PROTOCOL, samplers)


def test_everything_wrong_is_said_at_once():
    with pytest.raises(ValueError) as error:
        entries_of({"digital": Sampled()}, PROTOCOL, ["ddim:101", "dmp++:3", "ddim:50"])
    assert len(str(error.value).splitlines()) == 2


def test_a_sampler_of_the_protocol_is_checked_too():
    with pytest.raises(ValueError, match="unknown sampler of digital 'euler'"):
        entries_of({"digital": Sampled()}, Protocol(sampler="euler"))


def test_samplers_without_a_model_that_has_them_are_refused():
    with pytest.raises(ValueError, match="samplers: none of device has several samplers"):
        entries_of({"device": Device()}, PROTOCOL, ["ddim:10"])


def test_a_model_with_other_samplers_than_its_rival_uses_its_own():
    class Flow(Sampled):
        samplers = {"euler": 20}

    models = {"digital": Sampled(), "flow": Flow()}
    entries = entries_of(models, PROTOCOL)
    assert [(entry.protocol.sampler, entry.protocol.steps) for entry in entries] == [("ddim", 7), ("euler", 7)]
    labels = [entry.label for entry in entries_of(models, PROTOCOL, ["euler:3", "ddim:5"])]
    assert labels == ["digital, ddim 5", "flow, euler 3"]


def test_a_model_that_lists_no_samplers_takes_those_of_its_rival():
    entries = entries_of({"digital": Sampled(), "silent": Digital()}, PROTOCOL)
    assert [(entry.protocol.sampler, entry.protocol.steps) for entry in entries] == [("ddim", 7), ("ddim", 7)]


def test_without_a_sampler_each_model_uses_the_first_of_its_own():
    class Flow(Sampled):
        samplers = {"euler": 20}

    models = {"digital": Sampled(), "flow": Flow(), "silent": Digital()}
    entries = entries_of(models, Protocol(steps=None))
    assert [(entry.protocol.sampler, entry.protocol.steps) for entry in entries] == [
        ("dpm++", None), ("euler", None), (None, None),
    ]  # fmt: skip
    assert entries[1].options["sampler"] == "euler"
    assert "sampler" not in entries[2].options  # its own default
    assert entries_of({"flow": Flow()}, Protocol.quick())[0].protocol.sampler == "euler"


def test_a_comparison_that_leaves_it_open_has_the_cheapest_and_the_best_way_of_each_digital_model():
    class Compared(Sampled):
        compared = ("dpm++:10", "ddim")

    models = {"device": Device(), "digital": Compared(), "silent": Sampled()}

    def ways(protocol, samplers):
        entries = entries_of(models, protocol, samplers)
        return [(entry.label, entry.protocol.sampler, entry.protocol.steps) for entry in entries[1:]]

    ours = [("digital, dpm++ 10", "dpm++", 10), ("digital, ddim 50", "ddim", None), ("silent", "dpm++", None)]
    assert ways(Protocol(), None) == ours
    assert ways(Protocol(), ()) == [("digital", "dpm++", None), ("silent", "dpm++", None)]
    assert ways(Protocol(steps=3), None) == [("digital", "dpm++", 3), ("silent", "dpm++", 3)]
    assert ways(Protocol(sampler="ddim"), None) == [("digital", "ddim", None), ("silent", "ddim", None)]


@pytest.mark.parametrize("name", ["ddpm", "flow"])
def test_what_the_digital_baselines_are_compared_by_are_ways_of_theirs(name):
    model = create_model(name)
    cheapest, best = (entry.protocol for entry in entries_of({name: model}, Protocol(), None))
    assert cheapest.sampler == best.sampler == next(iter(model.samplers))
    assert cheapest.steps == 10 and best.steps == model.steps_of(best.sampler)


def test_a_model_that_does_not_say_its_steps_is_named_by_its_sampler_alone():
    class Silent(Sampled):
        def steps_of(self, sampler, steps=None):
            return steps

    assert [entry.label for entry in entries_of({"digital": Silent()}, PROTOCOL, ["ddim", "dpm++:3"])] == [
        "digital, ddim", "digital, dpm++ 3",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("classes", "guidance", "words"),
    [(0, 2.0, ""), (3, 1.0, "each class in turn"), (3, 0.0, "without the class"),
     (3, 2.5, "each class in turn, guidance 2.5")],
)  # fmt: skip
def test_the_words_for_a_class_are_those_of_its_guidance(classes, guidance, words):
    able = replace(abilities(Digital()), num_classes=classes, guidance=guidance)
    assert in_words(able, {"sampler": "ddim", "steps": None}) == ", ".join(filter(None, ("sampler ddim", words)))


def machine(**config):
    small = {"image_shape": (1, 4, 4), "hidden": 4, "num_classes": 10, "t_final": 1.0, "dt": 0.1}
    return create_model("generator", **small | config)


def test_a_machine_with_a_die_is_told_no_class_unless_the_protocol_says_so():
    drawing, asked = machine(die={"amplitude": 14.0}), machine()
    models = {"drawing": drawing, "asked": asked}
    assert [entry.told for entry in entries_of(models, Protocol())] == [False, True]
    assert [entry.how for entry in entries_of(models, Protocol())] == [
        "the class drawn by the machine", "each class in turn",
    ]  # fmt: skip
    told = Protocol(num_samples=20, kernel_subset_size=10, told=True, curve_points=0)
    (entry,) = entries_of({"drawing": drawing}, told)
    assert generate(entry).labels.tolist() == [*range(10), *range(10)]
    assert generate(entries_of({"drawing": drawing}, replace(told, told=None))[0]).labels is None


def test_a_digital_model_that_is_told_no_class_draws_without_guidance_and_a_held_label_cannot():
    model = create_model("ddpm", block_out_channels=[32, 32], num_classes=10, guidance=2.0)
    (entry,) = entries_of({"ddpm": model}, Protocol(told=False))
    assert entry.options["guidance"] == 0.0 and not entry.told and entry.how.endswith("without the class")
    (entry,) = entries_of({"ddpm": model}, Protocol(told=True))
    assert "guidance" not in entry.options and entry.how.endswith("each class in turn, guidance 2")
    with pytest.raises(ValueError, match=r"protocol\.told: asked draws images of a chosen class only"):
        entries_of({"asked": machine()}, Protocol(told=False))[0].told  # noqa: B018
