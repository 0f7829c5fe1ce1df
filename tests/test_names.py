from thermotorch.names import unknown_name


def test_close_matches_are_offered_best_first():
    known = ["ddpm.mnist", "generator", "generator.three_digits"]
    assert str(unknown_name("model", "genertor", known)) == "unknown model 'genertor'; did you mean 'generator'?"
    assert str(unknown_name("model", "mnist", known)) == "unknown model 'mnist'; did you mean 'ddpm.mnist'?"
    message = str(unknown_name("model", "generator.digits", known))
    assert message.endswith("did you mean 'generator.three_digits' or 'generator'?")


def test_without_a_close_match_everything_is_listed():
    assert str(unknown_name("model", "xyz", ["b", "a"])) == "unknown model 'xyz'; known: a, b"
    assert str(unknown_name("model", "xyz", [])) == "unknown model 'xyz'; known: none"


def test_three_names_are_offered_at_most():
    known = [f"generator{k}" for k in range(9)]
    for name in ("generator", "rator"):  # as spelt, and as a part
        assert str(unknown_name("model", name, known)).count("'") == 2 + 3 * 2
