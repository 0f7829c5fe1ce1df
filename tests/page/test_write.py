"""The page as a visitor meets it: one file, opened from disk in a headless browser."""

import re

import pytest
import torch

from tests.page.engines import visited
from tests.page.test_machine import small
from thermotorch.page.write import page, write_page
from thermotorch.units import energy_to_joule

PLAYED = 'until("finished").then(report);'


@pytest.fixture
def machine():
    """Nine pixels, three labels, one hidden layer."""
    return small(hidden=4)


def shown(found) -> torch.Tensor:
    return torch.tensor(found["shown"], dtype=torch.float64).view(32, 1, 3, 3) / 255


@pytest.mark.parametrize("engine", ["chromium", "firefox"])
def test_the_wall_shows_what_generate_draws(engine, machine, tmp_path):
    """32 samples from the 32nd on, by two workers, with heat and energy of the one in hand, on the page's own clock."""
    found = visited(page(machine, "small", seed=5), tmp_path, PLAYED, "play&sample=39", engine=engine)
    ids = torch.arange(32, 64)
    expected = machine.sample(32, seed=5, sample_ids=ids)
    assert found["errors"] == []
    torch.testing.assert_close(shown(found), expected.images, rtol=0, atol=0.51 / 255 + 1e-6)
    heat = expected.heat[7].item()
    assert found["texts"]["heat"] == f"{round(heat):,} kT".replace("-", "−")
    digits, exponent = f"{heat * machine.temperature * energy_to_joule(1.0, machine.temperature):.2e}".split("e")
    power = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    assert found["texts"]["joule"] == f"{digits} × 10{power} J"
    start = machine.start(32, seed=5, sample_ids=ids, labels=ids % 3)
    end = machine.denoise(start, seed=5, sample_ids=ids).state[7]
    energy = machine.potential.energy(end).item() / machine.temperature
    assert found["texts"]["energy"] == f"{round(energy):,} kT".replace("-", "−")
    assert found["texts"]["clock"] == "3.0 of 3.0"
    assert found["texts"]["status"].startswith("Read out. Sample 39 gave off")


def test_what_is_asked_for_and_held_on_the_page_is_what_python_asks_for_and_holds(machine, tmp_path):
    """Half of the digit in hand, as it was shown, held on every panel while all machines draw class 2."""
    actions = """
    until("finished").then(async () => {
      const label = document.getElementById("label");
      label.value = "2";
      const over = until("finished");
      label.dispatchEvent(new Event("input"));
      await over;
      const again = until("finished");
      document.getElementById("hold-upper").click();
      await again;
      report();
    });"""
    found = visited(page(machine, "small"), tmp_path, actions, "play&sample=3")
    assert found["errors"] == []
    labels, mask = torch.full((32,), 2), torch.tensor([True, True, False]).view(1, 3, 1).expand(1, 3, 3)
    before = machine.generate(32, seed=0, labels=labels)
    known = (255 * before[3]).round() / 255
    expected = machine.generate(32, seed=0, labels=labels, known=known.expand(32, 1, 3, 3), mask=mask)
    torch.testing.assert_close(shown(found), expected, rtol=0, atol=0.51 / 255 + 1e-4)


def test_pen_and_keys_give_pixels_and_take_them_back(machine, tmp_path):
    """A stroke on the middle gives a cross of five pixels; three keys let the middle row's last block go."""
    actions = """
    until("ready").then(async () => {
      const hand = document.getElementById("hand"), box = hand.getBoundingClientRect();
      const at = (kind) => new PointerEvent(kind, { pointerId: 1, clientX: box.x + box.width / 2,
        clientY: box.y + box.height / 2, bubbles: true });
      hand.setPointerCapture = () => {};
      hand.dispatchEvent(at("pointerdown"));
      hand.dispatchEvent(at("pointerup"));
      document.querySelector("input[name=tool][value=free]").click();
      for (const key of ["ArrowRight", "ArrowUp", " "]) hand.dispatchEvent(new KeyboardEvent("keydown", { key }));
      const over = until("finished");
      document.getElementById("play").click();
      document.getElementById("play").click();
      document.getElementById("again").click();
      await until("ready");
      document.getElementById("play").click();
      await over;
      report();
    });"""
    found = visited(page(machine, "small"), tmp_path, actions)
    assert found["errors"] == []
    mask = torch.tensor([[False, False, False], [True, False, False], [False, True, False]]).view(1, 3, 3)
    known = torch.full((32, 1, 3, 3), 0.75, dtype=torch.float64)
    expected = machine.generate(32, seed=0, known=known, mask=mask)
    torch.testing.assert_close(shown(found), expected, rtol=0, atol=0.51 / 255 + 1e-4)


def test_nothing_moves_where_the_reader_asks_for_no_motion(machine, tmp_path):
    """The run is shown once, at its end."""
    count = """
    let paints = 0;
    new MutationObserver(() => paints++).observe(document.getElementById("energy"), { childList: true });
    until("finished").then(() => { document.getElementById("rate").textContent = String(paints); report(); });"""
    still = visited(page(machine, "small"), tmp_path, count, "play", "--force-prefers-reduced-motion")
    (tmp_path / "moving").mkdir()
    moving = visited(page(machine, "small"), tmp_path / "moving", count, "play")
    assert int(still["texts"]["rate"]) <= 3  # noise, and the read-out
    assert int(moving["texts"]["rate"]) >= machine.steps
    torch.testing.assert_close(shown(still), shown(moving))


def test_the_file_holds_everything_and_asks_for_nothing(machine, tmp_path):
    path = write_page(machine, "a <b> & c", tmp_path / "new" / "page.html")
    text = path.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert re.findall(r'(?:src|href)="(?!data:)([^"]*)"', text) == []
    assert not re.search(r"\b(?:fetch|XMLHttpRequest|WebSocket|sendBeacon|importScripts)\b", text)
    assert "a &lt;b&gt; &amp; c" in text
    assert "a <b>" not in text


def test_a_seed_that_a_browser_cannot_count_to_is_refused(machine, tmp_path):
    with pytest.raises(ValueError, match=r"seed: expected 0 <= seed < 2\^53.* found 9007199254740992"):
        write_page(machine, "small", tmp_path / "page.html", seed=2**53)
    assert not list(tmp_path.iterdir())
