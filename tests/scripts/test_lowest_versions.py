import pytest

from scripts.lowest_versions import lowest_versions


def test_lower_bounds_become_pins_in_extras_too():
    project = {
        "dependencies": ["torch>=2.11,<2.16", "scikit-learn>=1.4", "tomli>=2; python_version<'3.11'"],
        "optional-dependencies": {"test": ["pytest>=8", "scikit-learn>=1.4"], "dev": ["ruff==0.17.6"]},
    }
    assert lowest_versions(project) == ["pytest==8", "ruff==0.17.6", "scikit-learn==1.4", "tomli==2", "torch==2.11"]


@pytest.mark.parametrize(
    "requirements, words",
    [
        (["tqdm"], "'tqdm' declares no lowest version"),
        (["tqdm<5"], "'tqdm<5' declares no lowest version"),
        (["lazy; python_version>='3.12'"], "declares no lowest version"),
        (["tqdm>=4.60", "tqdm>=4.66"], "tqdm has two lowest versions, 4.60 and 4.66"),
    ],
)
def test_what_declares_no_single_lowest_version_is_refused(requirements, words):
    with pytest.raises(ValueError, match=words):
        lowest_versions({"dependencies": requirements})
