"""Defaults of evaluation, zoo, page and command line, which are part of the interface as in `test_defaults.py`."""

import inspect

import pytest

from tests.docs.test_defaults import _is_plain, named, written

DEFAULTS = {
    "cli.targets:targets": "path=''",
    "evaluation.energy.card_rows:heat_rows": "kelvin=300.0, command='', what='generation'",
    "evaluation.energy.card_rows:overhead_row": "command='', num_samples=0",
    "evaluation.energy.card_rows:arithmetic_rows": "command='', note=''",
    "evaluation.energy.chain_runs:chain_runs": "num_samples=64, seed=0",
    "evaluation.energy.contribution:modelled": "note=''",
    "evaluation.energy.contribution:in_kT": "note='', error=0.0",
    "evaluation.energy.digital_count:DigitalCount": "num_samples=1, evaluations=0",
    "evaluation.energy.ledger:LedgerLine": "note=''",
    "evaluation.energy.machine_run:machine_run": "num_samples=64, seed=0",
    "evaluation.energy.ratio:ratio": "above_line='total', below_line='total', mixed=False",
    "evaluation.energy.sensitivity:Side": "line='total'",
    "evaluation.energy.thermodynamic:thermodynamic_ledgers": "num_samples=64, seed=0",
    "evaluation.entries:in_words": "told=True",
    "evaluation.metrics:Metric": (
        "better='', unit='', of_features=False, headline='', in_sweeps=False, plotted=False, question='', answer=''"
    ),
    "evaluation.physics.chain_second_law:chain_dissipation": "seed=0, batch_size=256",
    "evaluation.physics.second_law:dissipation": "seed=0, batch_size=256",
    "evaluation.physics.second_law:free_energy_bounds": "gains=500, hold=5, seed=0",
    "evaluation.protocol:Protocol": (
        "name='quick', num_samples=256, seed=0, execution='auto', precision='ieee', kernel_subsets=100, "
        "kernel_subset_size=100, neighbours=5, resamples=200, curve_points=6"
    ),
    "evaluation.quality.classification:ClassificationProtocol": (
        "runs=20, averaged=10, devices=5, bits=5, mismatch=0.05, seed=0, batch_size=2000"
    ),
    "evaluation.quality.classification:calibration_error": "bins=15",
    "evaluation.quality.classification:reliability": "bins=15",
    "evaluation.quality.feature_space:FeatureSpace": "description='', recorded=(), sha256=''",
    "evaluation.quality.feature_space:FeatureSpace.from_zoo": "checkpoint='feature_net.mnist'",
    "evaluation.quality.image_rows:quality_rows": "command='', how=''",
    "evaluation.quality.image_rows:metric_rows": "command='', against='', how=''",
    "evaluation.quality.judged:Value": "note=''",
    "evaluation.quality.neighbours:neighbours": "k=5",
    "evaluation.quality.novelty:nearest_training_distance": "chunk=8192",
    "evaluation.quality.recognition:in_batches": "batch_size=512",
    "evaluation.quality.recognition:features": "batch_size=512",
    "evaluation.quality.recognition:class_probabilities": "batch_size=512",
    "evaluation.quality.recognition:recognised_fraction": "threshold=0.9",
    "evaluation.report.content:Paragraph": "warning=False",
    "evaluation.report.content:Table": "caption='', right=(), fine=(), words=False",
    "evaluation.report.content:Picture": "title='', pixels=False",
    "evaluation.report.content:Gallery": "width=20",
    "evaluation.report.denoising_figures:save_figures": "seed=0, rows=10, frames=25",
    "evaluation.report.energy_tables:ledger_grid": "lines_are_ledgers=False",
    "evaluation.report.energy_tables:joules": "digits='.1e', brackets='()'",
    "evaluation.report.markdown:table": "right=()",
    "evaluation.report.pictures:side_by_side": "columns=8, side=700",
    "evaluation.report.pictures:png": "levels=256",
    "evaluation.report.pictures:save_animation": "columns=8",
    "evaluation.report.pictures:to_pillow": "scale=1",
    "evaluation.report.plot:svg": "title=''",
    "evaluation.report.wandb_log:WandbLog": "project='thermotorch', offline=True",
    "evaluation.results:ModelResult": "label='', ledgers=(), curve=(), hardware='', date='', cached=False",
    "evaluation.samples:draw_samples": "seed=0, batch_size=64",
    "evaluation.samples:samples_in_parts": "seed=0, batch_size=64",
    "evaluation.speed.benchmark:Program": "flops=0.0, normals=0.0",
    "evaluation.speed.benchmark:benchmark": (
        "cases=('simulate', 'layer', 'training'), batch_sizes=(1, 64, 256), steps=100, repeats=5, "
        "seed=0, device='cpu', processor_time=False"
    ),
    "evaluation.speed.hardware:describe_hardware": "device='cpu'",
    "evaluation.speed.memory:PeakMemory.row": "command='', note=''",
    "page.write:write_page": "seed=0",
    "page.write:page": "seed=0",
    "zoo.cards:Card": "hides=()",
    "zoo.cards:read_card": "hides=()",
    "zoo.checkpoints:record_rows": "metrics=(), energy=()",
    "zoo.factory:create_model": "pretrained=False",
    "zoo.factory:list_models": "pattern='*', pretrained=False",
    "zoo.registry:register_model": "override=False",
    "zoo.rows:Row": "command='', note=''",
    "zoo.tensor_files:read_tensors": "label=''",
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_default_is_the_one_that_was_promised(name):
    given = inspect.signature(named(name)).parameters.values()
    found = [written(each.name, each.default) for each in given if _is_plain(each)]
    assert ", ".join(found) == DEFAULTS[name]


def test_a_commands_text_is_empty_unless_it_is_given():
    for name in ("compare:compare", "compare:evaluate", "entries:Entry", "quality.image_rows:real_rows"):
        assert inspect.signature(named(f"evaluation.{name}")).parameters["command"].default == ""
