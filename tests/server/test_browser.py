"""The page at ``/`` in Chromium, against a real server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hivellm_lite.server.application import create_server
from hivellm_lite.server.options import APIKey, ServerOptions

from ..support.systems import needs_posix
from ..support.waiting import LIMIT, wait_until
from .running import serving

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

KEY = "a-long-enough-secret"
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
    "--disable-sync", "--disable-component-update", "--disable-background-networking",
    "--no-first-run", "--no-proxy-server",
)  # fmt: skip
WIDE = (1400, 1000)
PHONE = (390, 844)


def resize(browser: Chrome, size: tuple[int, int]) -> None:
    """Show the page in a window whose inside has this size; windows cannot be as narrow."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def prefer(browser: Chrome, scheme: str) -> None:
    """Let the browser's user prefer ``light`` or ``dark`` pages."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    webdriver = pytest.importorskip("selenium.webdriver")
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    for name, found in programs.items():
        if found is None:
            pytest.skip(f"{name} is missing: run scripts/install_test_tools.sh")
    options = webdriver.ChromeOptions()
    options.binary_location = programs["chromium"]
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=programs["chromedriver"])
    driver = webdriver.Chrome(options=options, service=service)
    try:
        driver.set_page_load_timeout(LIMIT)
        driver.set_script_timeout(LIMIT)
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def browser(chromium: Chrome) -> Chrome:
    """The browser of all tests, wide and light, with an empty console."""
    resize(chromium, WIDE)
    prefer(chromium, "light")
    chromium.get_log("browser")
    return chromium


@pytest.fixture
def complaints(browser) -> Callable[[], list[str]]:
    """What the console has since it was last read; a breach of the page's policy is in it."""
    return lambda: [entry["message"] for entry in browser.get_log("browser")]


@pytest.fixture(scope="module")
def app(manager):
    return create_server(manager, ServerOptions())


@pytest.fixture(scope="module")
def address(app) -> Iterator[str]:
    with serving(app) as found:
        yield found


class Page:
    """The page, by the names of its elements."""

    def __init__(self, browser: Chrome, address: str) -> None:
        self.browser = browser
        browser.get(address)

    def one(self, selector: str) -> WebElement:
        return self.browser.find_element("css selector", selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements("css selector", selector)

    def text(self, selector: str) -> str:
        return str(self.one(selector).get_property("textContent"))

    def wait_for_experts(self) -> None:
        wait_until(lambda: self.all("#model option"))

    def choose(self, selector: str, name: str) -> None:
        self.one(f'{selector} option[value="{name}"]').click()

    def fill(self, **fields: str) -> None:
        """Type into fields: ``fill(prompt="…", max_tokens="8")``."""
        self.browser.execute_script("document.querySelector('details').open = true")
        for name, value in fields.items():
            field = self.one(f"[name={name}]")
            field.clear()
            field.send_keys(value)

    def ask(self, **fields: str) -> None:
        """Fill the form, send it, and wait until all answers have ended."""
        self.fill(**fields)
        self.one("#ask").click()
        self.wait_for_answers()

    def wait_for_answers(self) -> None:
        wait_until(lambda: self.all(".answer") and not self.one("#stop").is_enabled())

    def answers(self) -> list[str]:
        return [str(e.get_property("textContent")) for e in self.all(".answer .text")]

    def boxes(self, selector: str) -> list[dict[str, int]]:
        return [element.rect for element in self.all(selector)]

    def overflow(self) -> int:
        """Pixels by which the page is wider than its window."""
        found = self.browser.execute_script(
            "const e = document.documentElement; return e.scrollWidth - e.clientWidth"
        )
        return int(found)


@pytest.fixture
def page(browser, address) -> Page:
    opened = Page(browser, address)
    opened.wait_for_experts()
    return opened


GREEDY = {"prompt": "Hello", "temperature": "0", "max_tokens": "8"}


def test_the_experts_are_offered(page, complaints):
    names = [option.get_property("value") for option in page.all("#model option")]
    assert set(names) == {"sql", "style", "auto", "base"}
    assert page.text("#about") == "2 experts"
    assert complaints() == []


def test_an_answer_is_streamed_into_the_page(page, complaints, manager):
    page.choose("#model", "sql")
    page.ask(**GREEDY)
    assert page.answers() == [manager.generate("sql", "Hello", temperature=0, max_tokens=8).text]
    assert page.text(".answer .numbers").startswith("8 tokens")
    assert not page.one(".answer .error").is_displayed()
    assert complaints() == []


def test_the_keyboard_asks(page, complaints):
    from selenium.webdriver import Keys

    page.fill(**GREEDY)
    page.one("#prompt").send_keys(Keys.CONTROL, Keys.ENTER)
    page.wait_for_answers()
    assert len(page.answers()) == 1
    assert complaints() == []


@pytest.mark.parametrize(
    "markup",
    ["<script>window.pwned=1</script>", "<img src=x onerror=window.pwned=1>", "&lt;b&gt;</pre>"],
)
def test_markup_in_an_answer_is_text(page, complaints, markup):
    page.ask(prompt="Hello", max_tokens="100", grammar=f'root ::= "{markup}"')
    assert page.answers() == [markup]
    assert page.browser.execute_script("return window.pwned") is None
    assert page.all("#answers script, #answers img, #answers b") == []
    assert complaints() == []


def test_two_experts_answer_side_by_side(page, complaints, tmp_path):
    page.choose("#model", "sql")
    page.choose("#second", "style")
    page.ask(**GREEDY)
    assert [heading.text for heading in page.all(".answer h2")] == ["sql", "style"]
    assert all(page.answers())
    left, right = page.boxes(".answer")
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]
    assert complaints() == []
    page.browser.save_screenshot(str(tmp_path / "wide.png"))


def test_the_page_fits_a_phone(page, tmp_path):
    resize(page.browser, PHONE)
    page.choose("#model", "sql")
    page.choose("#second", "style")
    page.ask(**{**GREEDY, "prompt": "Hello" * 30})
    above, below = page.boxes(".answer")
    assert above["x"] == below["x"]
    assert above["y"] + above["height"] <= below["y"]
    assert page.overflow() == 0
    page.browser.save_screenshot(str(tmp_path / "phone.png"))


def test_the_page_is_dark_where_that_is_preferred(page, tmp_path):
    def brightness(color: str) -> float:
        style = "return getComputedStyle(document.body)[arguments[0]]"
        shown = page.browser.execute_script(style, color)
        numbers = shown[shown.index("(") + 1 : -1].split(",")[:3]
        return sum(float(number) for number in numbers) / 3

    assert brightness("backgroundColor") > 200 > 60 > brightness("color")
    prefer(page.browser, "dark")
    assert brightness("backgroundColor") < 60 < 200 < brightness("color")
    page.ask(**GREEDY)
    page.browser.save_screenshot(str(tmp_path / "dark.png"))


def test_the_choice_of_auto_is_explained(page, complaints):
    page.choose("#model", "auto")
    page.ask(**{**GREEDY, "prompt": "A formal style, please"})
    wait_until(lambda: page.one("#route").is_displayed())
    assert page.text("#route pre").startswith("style: ")
    assert page.text(".answer h2") == "style"
    assert complaints() == []


def test_the_answer_can_be_stopped(page, app):
    """Escape is pressed as soon as the answer has a text."""
    page.fill(prompt="Hello", max_tokens="200", temperature="0")
    seen = page.browser.execute_async_script(
        """
        const done = arguments[0];
        const escape = () => document.dispatchEvent(new KeyboardEvent("keydown", {key: "Escape"}));
        new MutationObserver((_, observer) => {
          const text = document.querySelector(".answer .text");
          if (!text || !text.textContent) return;
          observer.disconnect();
          escape();
          done(text.textContent);
        }).observe(document.getElementById("answers"), {childList: true, subtree: true});
        document.getElementById("ask").click();
        """
    )
    assert seen
    page.wait_for_answers()
    assert page.text(".answer .error") == "Stopped."
    wait_until(lambda: app.state.service.admission.n_busy == 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"grammar": "<b>nonsense</b>"}, "Invalid 'grammar'"),
        ({"json_schema": "{"}, "The JSON schema is no JSON"),
    ],
)
def test_a_refusal_is_shown(page, fields, message):
    page.ask(**GREEDY, **fields)
    alert = page.one(".answer .error")
    assert alert.is_displayed()
    assert message in alert.text


def test_a_key_is_asked_for_and_remembered(browser, manager):
    options = ServerOptions(keys=(APIKey("ann", KEY),))
    with serving(create_server(manager, options)) as address:
        page = Page(browser, address)
        wait_until(lambda: "key" in page.text("#about"))
        assert page.all("#model option") == []
        page.fill(key=KEY)
        page.one("#prompt").click()
        page.wait_for_experts()
        page.ask(**GREEDY)
        assert len(page.answers()) == 1
        assert KEY not in page.text("#code")
        again = Page(browser, address)
        again.wait_for_experts()


@pytest.fixture
def shown(page) -> Callable[[str], str]:
    """What the page shows for another program, after a question with hard characters."""

    def tell(selector: str) -> str:
        page.choose("#model", "sql")
        page.ask(**{**GREEDY, "prompt": 'It\'s "é" <b>\\n $HOME'}, grammar='root ::= "o\'k"')
        assert page.answers() == ["o'k"]
        return page.text(selector)

    return tell


@needs_posix("a shell that quotes as POSIX does")
def test_the_shown_command_of_curl_asks_the_same(shown):
    command = shown("#as-curl")
    if not (shutil.which("curl") and shutil.which("sh")):
        pytest.skip("curl is missing")
    assert '"content":"o\'k"' in output(["sh", "-c", f"{command} --silent --show-error"])


def test_the_shown_program_in_python_asks_the_same(shown, tmp_path):
    program = tmp_path / "shown.py"
    program.write_text(shown("#as-python"), encoding="utf-8")
    assert output([sys.executable, program]).strip() == "o'k"


def output(command: list[str | Path]) -> str:
    environment: dict[str, Any] = {**os.environ, "PYTHONUTF8": "1"}
    ran = subprocess.run(
        command, capture_output=True, encoding="utf-8", env=environment, timeout=LIMIT
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
