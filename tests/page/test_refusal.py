"""Messages of the page where it cannot run, and names of models, which must not change it."""

import pytest

from tests.page.devtools import tab
from tests.page.test_machine import small
from thermotorch.page.write import page

SAID = "document.getElementById('status')?.textContent.startsWith('This browser')"


@pytest.fixture
def text() -> str:
    """A page as it is written."""
    return page(small(hidden=4), "small")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("delete window.Worker", "This browser lacks web workers, which the simulation needs."),
        (
            "delete window.PointerEvent; delete URL.createObjectURL",
            "lacks blobs and pointer events, which the simulation",
        ),
        ("window.Worker = class { constructor() { throw new Error('no workers here'); } }", "no workers here"),
        ("delete window.IntersectionObserver", "IntersectionObserver is not defined"),
    ],
)
def test_a_browser_without_what_is_needed_says_what(script, message, text, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(text, encoding="utf-8")
    with tab(tmp_path) as visitor:
        visitor.send("Page.addScriptToEvaluateOnNewDocument", source=script)
        visitor.open(path, until=SAID)
        assert message in visitor.text("status")
        assert visitor.run("document.getElementById('play').disabled")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("const main_js", "const #unheard of = ", "needs Chromium 92, Firefox 90 or Safari 15.4, or a later one"),
        ("const worker_js", "const #unheard of = ", "does not run a worker made from text, which the simulation needs"),
    ],
)
def test_a_browser_that_cannot_read_the_scripts_says_so(old, new, message, text, tmp_path):
    """Syntax that it does not know, in the page's script or in the worker's."""
    assert text.count(old) == 1
    path = tmp_path / "page.html"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with tab(tmp_path) as visitor:
        visitor.open(path, until=SAID)
        assert message in visitor.text("status")
        assert visitor.run("document.getElementById('play').disabled")


def test_without_vector_instructions_the_page_shows_the_same(text, tmp_path):
    shown = []
    assert "new WebAssembly.Module" in text
    for number, source in enumerate((text, text.replace("new WebAssembly.Module", "new Missing.Module"))):
        path = tmp_path / f"{number}.html"
        path.write_text(source, encoding="utf-8")
        with tab(tmp_path) as visitor:
            visitor.open(path, "play")
            visitor.until("document.body.dataset.run === 'finished'")
            shown.append([visitor.text(name) for name in ("heat", "energy", "clock")])
            shown[-1] += visitor.run(
                "[...document.querySelectorAll('canvas')].slice(0, 32).map((at) => at.toDataURL())"
            )
    assert shown[0] == shown[1]


def test_the_policy_of_the_page_lets_vector_instructions_through_and_no_connection(text, tmp_path):
    """Asked by a script of the page, as its own are: the developer tools are above the policy."""
    path = tmp_path / "page.html"
    asked = """<script>
    try { new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])); window.vectors = true; }
    catch { window.vectors = false; }
    window.reached = fetch("https://example.org/").then(() => true, () => false);
    document.addEventListener("securitypolicyviolation", (event) => (window.refused = event.effectiveDirective));
    </script></body>"""
    path.write_text(text.replace("</body>", asked), encoding="utf-8")
    with tab(tmp_path) as visitor:
        visitor.open(path)
        assert visitor.run("window.vectors") is True
        assert visitor.run("window.reached") is False
        assert visitor.run("window.refused") == "connect-src"


def test_a_name_with_markup_in_it_is_text(tmp_path):
    name = '</script><img src=x onerror="window.harm = 1"><b>$style ${seed}</b>\'"&amp;'
    path = tmp_path / "page.html"
    path.write_text(page(small(hidden=4), name), encoding="utf-8")
    with tab(tmp_path) as visitor:
        visitor.open(path, "play")
        visitor.until("document.body.dataset.run === 'finished'")
        assert visitor.run("document.title") == f"Noise becomes digits: {name}"
        assert visitor.run("document.querySelector('header code').textContent") == name
        assert name in visitor.text("python")
        assert visitor.run("document.querySelectorAll('img, b').length") == 0
        assert visitor.run("'harm' in window") is False
        assert visitor.errors == []
