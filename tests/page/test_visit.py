"""A visitor's view of the page: sizes, colours, keys, touch, motion, and what a screen reader is told.

Each test steers headless Chromium and looks at what is laid out, painted or told, not at how the page does it.
"""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.page.devtools import Tab, tab
from tests.page.test_machine import small, small_chain
from thermotorch.page.write import write_page

# What is laid out: boxes of everything that takes a finger or a key.
TARGETS = """[...document.querySelectorAll("button, select, input, canvas[tabindex], fieldset label")]
  .filter((element) => element.offsetParent && element.type !== "radio")
  .map((element) => { const { x, y, width, height } = element.getBoundingClientRect();
    return [element.id || element.getAttribute("aria-label") || element.textContent, x, y, width, height]; })"""

# What does not fit into its own box.
CUT = """[...document.querySelectorAll("main *, header *")]
  .filter((element) => element.clientWidth && element.scrollWidth > element.clientWidth + 1)
  .map((element) => element.id || element.textContent)"""

# Every piece of text with its colour and the colour behind it; controls and canvases apart.
TEXTS = """[...document.querySelectorAll("body *")].filter((element) => element.offsetParent &&
    [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()))
  .map((element) => {
    let behind = element;
    const clear = (at) => getComputedStyle(at).backgroundColor === "rgba(0, 0, 0, 0)";
    while (behind && clear(behind)) behind = behind.parentElement;
    return [element.textContent.trim().slice(0, 40), getComputedStyle(element).color,
      getComputedStyle(behind ?? document.body).backgroundColor]; })"""


def luminance(colour: str) -> float:
    """Return the relative luminance of "rgb(r, g, b)", as WCAG 2.2 defines it."""
    parts = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.fixture(scope="module")
def visitor(tmp_path_factory):
    """A browser for all tests of this file."""
    with tab(tmp_path_factory.mktemp("visitor")) as found:
        yield found
        assert found.errors == []


MACHINES = {"plain": lambda: small(num_classes=0, hidden=4), "labels": lambda: small(hidden=4), "chain": small_chain}


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """A page of a machine without labels, of one with them, and of a chain; names as long as the zoo's."""
    folder = tmp_path_factory.mktemp("pages")
    return {
        kind: write_page(make(), f"generator.mnist_conditional_{kind}", folder / f"{kind}.html")
        for kind, make in MACHINES.items()
    }


@pytest.mark.parametrize("width", [360, 1400])
@pytest.mark.parametrize("kind", MACHINES)
def test_nothing_scrolls_sideways_or_overlaps_and_a_finger_hits_it(visitor: Tab, pages, kind, width):
    visitor.screen(width, touch=width == 360)
    visitor.open(pages[kind], "play")
    visitor.until("document.body.dataset.run === 'finished'")
    assert visitor.run("document.documentElement.scrollWidth") == visitor.run("document.documentElement.clientWidth")
    assert visitor.run(CUT) == []
    targets = visitor.run(TARGETS)
    assert len(targets) > 40
    for name, x, _, wide, high in targets:
        assert min(wide, high) >= 43.9, name  # CSS pixels; grids round
        assert x >= 0 and x + wide <= width, name
    for (one, ax, ay, aw, ah), (other, bx, by, bw, bh) in itertools.combinations(targets, 2):
        apart = ax + aw <= bx + 0.5 or bx + bw <= ax + 0.5 or ay + ah <= by + 0.5 or by + bh <= ay + 0.5
        assert apart, (one, other)


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_what_is_behind_it(visitor: Tab, pages, dark):
    """At least 4.5 to 1, also that which is painted on canvases; what marks focus and edges of controls 3 to 1."""
    visitor.screen(1400, dark=dark)
    visitor.open(pages["chain"])
    texts = visitor.run(TEXTS)
    assert len(texts) > 60
    assert (luminance(visitor.run("getComputedStyle(document.body).backgroundColor")) < 0.5) is dark
    for text, colour, behind in texts:
        assert contrast(colour, behind) >= 4.5, (text, colour, behind)
    variable = """((name) => { const probe = document.createElement("i"); probe.style.color = `var(--${name})`;
      document.body.append(probe); const { color } = getComputedStyle(probe); probe.remove(); return color; })"""
    shade = {
        name: visitor.run(f"{variable}({json.dumps(name)})")
        for name in ("faint", "tint", "paper", "held", "accent", "edge")
    }
    assert contrast(shade["faint"], shade["tint"]) >= 4.5  # words on the canvases
    for mark in ("held", "accent", "edge"):
        assert contrast(shade[mark], shade["paper"]) >= 3, mark


def test_every_control_is_reached_and_seen_by_keyboard(visitor: Tab, pages):
    """In the order of the page, with an outline."""
    visitor.screen(1400)
    visitor.open(pages["labels"])
    visitor.run("document.activeElement.blur()")
    reached = []
    for _ in range(40):
        visitor.key("Tab")
        name, outline = visitor.run(
            """[document.activeElement.id || document.activeElement.value || document.activeElement.className,
            getComputedStyle(document.activeElement).outlineStyle]"""
        )
        if not name or name == reached[:1]:
            break
        assert outline not in ("none", ""), name
        reached.append(name)
    assert reached == [
        "play", "again", "next", "pace", "digit", "temperature", "time", "label", "seed", "hand", "ink", "hold-upper",
        "hold-left", "hold-all", "hold-none", "hidden", "unit-play", "unit-well", "unit-temperature", "unit-tilt",
    ]  # fmt: skip


def run_by(visitor: Tab, act: Callable[[], object]) -> None:
    """Do what begins a run, and wait for its end."""
    visitor.run(
        """window.over = new Promise((resolve) => new MutationObserver(() =>
        document.body.dataset.run === "finished" && resolve()).observe(document.body, { attributes: true })), 0"""
    )
    act()
    visitor.run("window.over")


def focused(visitor: Tab, identity: str) -> None:
    visitor.run(f"document.getElementById('{identity}').focus()")


def test_the_machine_is_played_turned_and_held_by_keyboard(visitor: Tab, pages):
    """Enter and space press, arrows turn, choose, point and draw."""
    visitor.screen(1400)
    visitor.open(pages["labels"])
    focused(visitor, "play")
    run_by(visitor, lambda: visitor.key("Enter"))
    focused(visitor, "temperature")
    run_by(visitor, lambda: visitor.key("ArrowRight"))
    assert visitor.text("temperature-shown").startswith("357 K")
    focused(visitor, "time")
    run_by(visitor, lambda: visitor.key("ArrowRight"))
    assert float(visitor.text("time-shown")) > 3.0
    visitor.run("document.querySelector('.digit[tabindex=\"0\"]').focus()")
    for key in ("ArrowRight", "ArrowDown"):
        visitor.key(key)
    assert visitor.text("sample") == "9"
    focused(visitor, "hidden")
    visitor.key("ArrowRight")
    assert visitor.text("hidden-said").startswith("Hidden unit 1 of 4")
    assert visitor.text("status").startswith("Hidden unit 1 of 4")
    focused(visitor, "hand")
    visitor.key("ArrowLeft")
    assert visitor.text("status") == "Row 2, column 1: free"
    run_by(visitor, lambda: visitor.key(" "))
    visitor.key("ArrowRight")
    visitor.key("ArrowLeft")
    assert visitor.text("status") == "Row 2, column 1: held"
    focused(visitor, "hold-none")
    run_by(visitor, lambda: visitor.key(" "))
    focused(visitor, "hand")
    visitor.key("ArrowLeft")
    assert visitor.text("status") == "Row 2, column 1: free"


def middle(visitor: Tab, selector: str) -> tuple[float, float]:
    x, y = visitor.run(
        f"""(() => {{ const element = document.querySelector({json.dumps(selector)});
        element.scrollIntoView({{ block: "center" }}); const box = element.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2]; }})()"""
    )
    return x, y


def test_fingers_play_choose_point_and_draw(visitor: Tab, pages):
    """Touch, on a phone."""
    visitor.screen(360, touch=True)
    visitor.open(pages["labels"])
    play = middle(visitor, "#play")
    run_by(visitor, lambda: visitor.touch(play))
    visitor.touch(middle(visitor, ".digit:nth-child(6)"))
    visitor.until("document.getElementById('sample').textContent === '5'")
    x, y = middle(visitor, "#hidden")
    visitor.touch((x + 10, y + 10))
    visitor.until("document.getElementById('hidden-said').textContent.startsWith('Hidden unit 3 of 4')")
    x, y = middle(visitor, "#hand")
    offset = visitor.run("scrollY")
    run_by(visitor, lambda: visitor.touch((x - 100, y), (x, y), (x + 100, y)))
    assert visitor.run("scrollY") == offset  # a stroke does not move the page
    focused(visitor, "hand")
    visitor.key("ArrowLeft")
    assert visitor.text("status") == "Row 2, column 2: held"


def test_nothing_moves_until_asked_where_the_reader_wants_no_motion(visitor: Tab, pages):
    """Neither the digits nor the ball, until the button of the ball is pressed; otherwise the ball moves."""
    picture = "document.getElementById('unit').toDataURL()"
    pause = "new Promise((resolve) => setTimeout(resolve, 300))"
    for still in (True, False):
        visitor.screen(1400, still=still)
        visitor.open(pages["labels"])
        middle(visitor, "#unit")
        before = visitor.run(picture)
        visitor.run(pause)
        assert (visitor.run(picture) == before) is still
        visitor.run("document.getElementById('unit-play').click()")
        visitor.run(pause)
        before = visitor.run(picture)
        visitor.run(pause)
        assert (visitor.run(picture) != before) is still


def test_a_screen_reader_hears_what_everything_is(visitor: Tab, pages):
    """Names for controls and pictures, values of sliders in words, one polite place of news that is not chatty."""
    visitor.screen(1400)
    visitor.open(pages["chain"])
    visitor.run(
        """window.news = 0, new MutationObserver(() => news++).observe(document.getElementById("status"),
        { childList: true, characterData: true, subtree: true })"""
    )
    visitor.run("document.getElementById('play').click()")
    visitor.until("document.body.dataset.run === 'finished'")
    assert visitor.run("news") <= 3  # it plays; it has been read out
    nodes = [node for node in visitor.send("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    told = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes]
    need = {"button", "slider", "combobox", "spinbutton", "radio", "application", "image", "img", "Canvas", "group"}
    assert not [role for role, name in told if role in need and not name.strip()]
    roles = [role for role, _ in told]
    assert roles.count("slider") == 3 and roles.count("application") == 2 and roles.count("heading") >= 7
    assert [role for role, _ in told if role in ("status", "alert", "log", "timer")] == ["status"]
    described = visitor.run("[...document.querySelectorAll('input[type=range]')].map((at) => at.ariaValueText)")
    assert described == ["300 K, kT = 0.10", "2.0", "kT = 0.07", "0.00"]
    unnamed = """[...document.querySelectorAll("canvas")]
      .filter((at) => !at.ariaLabel && !at.closest("button")?.ariaLabel).map((at) => at.id)"""
    assert visitor.run(unnamed) == []


def test_the_energy_of_a_run_is_drawn_where_nothing_moved_too(visitor: Tab, pages):
    """The line of the digit in hand, by the columns of the picture that hold it; points are ten steps apart there."""
    columns = """(() => { const canvas = document.getElementById("curve"), { width, height } = canvas;
      const { data } = canvas.getContext("2d").getImageData(0, 0, width, height), seen = new Set();
      const wanted = getComputedStyle(document.documentElement).getPropertyValue("--accent").match(/[0-9a-f]{2}/g);
      for (let at = 0; at < data.length; at += 4)
        if (wanted.every((part, c) => Math.abs(data[at + c] - parseInt(part, 16)) < 40)) seen.add((at / 4) % width);
      return seen.size / width; })()"""
    drawn = []
    for still in (False, True):
        visitor.screen(1400, still=still)
        visitor.open(pages["chain"], "play")
        visitor.until("document.body.dataset.run === 'finished'")
        drawn.append(visitor.run(columns))
    assert drawn[1] > 0.4 * drawn[0] > 0.05, drawn
