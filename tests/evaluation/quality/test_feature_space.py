import pytest
import torch

from tests.evaluation.stand_ins import Judge
from thermotorch.evaluation.quality.feature_space import FeatureSpace
from thermotorch.zoo import load_card, registry, save_checkpoint, save_reference

ROW = {
    "metric": "accuracy",
    "value": 0.9931,
    "unit": "",
    "num_samples": 10,
    "seed": 0,
    "kind": "measured",
    "command": "",
}
OTHER = {**ROW, "metric": "images seen", "value": 7.0}
FIELDS = {"data": {}, "metrics": [ROW, OTHER], "energy": [], "training": {}, "licence": "Apache-2.0", "notes": ""}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("THERMOTORCH_HOME", str(tmp_path))
    monkeypatch.setattr(registry, "_architectures", {**registry._architectures, "feature_net": Judge})
    judge = Judge()
    judge.config = {}
    save_checkpoint(judge, "feature_net.squares", tmp_path, FIELDS)
    return tmp_path


def test_a_feature_space_is_a_network_with_its_reference(home):
    reference = torch.randn(12, 5).half()
    save_reference("feature_net.squares", {"features": reference})
    space = FeatureSpace.from_zoo("feature_net.squares")
    assert space.name == "thermotorch-squares-v1"
    assert torch.equal(space.reference, reference.float()) and space.reference.dtype == torch.float32
    assert torch.equal(space.net.weight, Judge().weight)
    assert [row.to_dict()["value"] for row in space.recorded] == [0.9931, 7.0]
    card = load_card("feature_net.squares")
    assert (
        space.description == f"feature_net.squares (sha256 {card['sha256'][:12]}, accuracy 0.9931) and 12 real images"
    )
    assert space.sha256.split() == [card["sha256"], card["reference"]["sha256"]]
    elsewhere = space.to("meta")
    assert elsewhere.reference.is_meta and elsewhere.net.weight.is_meta and elsewhere.name == space.name


def test_a_model_without_features_is_no_judge():
    with pytest.raises(ValueError, match="judge: generator.three_digits has no features"):
        FeatureSpace.from_zoo("generator.three_digits")


def test_without_a_reference_there_is_no_feature_space(home):
    with pytest.raises(ValueError, match="has no reference statistics"):
        FeatureSpace.from_zoo("feature_net.squares")
