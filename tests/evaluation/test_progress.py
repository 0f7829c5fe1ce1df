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
