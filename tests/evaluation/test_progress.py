from thermotorch.evaluation import progress as module
from thermotorch.evaluation.progress import progress_bar


def test_the_bar_shows_how_far_and_what(capsys):
    with progress_bar("model") as progress:
        progress(1, 4)
        progress(3, 4)
        progress(1, 2, "judging")
    shown = capsys.readouterr().err
    assert "model:  25%" in shown
    assert "model:  75%" in shown
    assert "judging:  50%" in shown


def test_the_clock_starts_again_with_another_description_only(monkeypatch):
    resets = []

    class Bar(module.tqdm):
        def reset(self, total=None):
            resets.append((self.n, total))
            super().reset(total)

    monkeypatch.setattr(module, "tqdm", Bar)
    with progress_bar("model") as progress:
        progress(1, 4)
        progress(3, 4)
        progress(1, 2, "judging")
        progress(2, 2, "judging")
    assert resets == [(3, 2)]
