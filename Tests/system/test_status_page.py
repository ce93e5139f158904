"""The status page in a real browser: Debian's Chromium, driven by Playwright, judged by axe.

Playwright's own browsers are not used: set CHROMIUM to another executable if it is not /usr/bin/chromium.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from jobs import occupy, shell
from server import Server

from dspy_orchestrator import Client
from dspy_orchestrator.v1 import orchestrator_pb2 as pb

sync_api = pytest.importorskip("playwright.sync_api", reason="scripts/setup tests installs it")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")

pytestmark = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"no {CHROMIUM}: scripts/setup tests")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Any]:
    """Opens a server's page and waits until it is live. What the page complains of fails the test at its end."""
    contexts = []
    complaints: list[str] = []

    def opened(server: Server, path: str = "/", live: bool = True, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: complaints.append(message.text) if "Content Security Policy" in message.text else None,
        )
        page.goto(f"http://{server.http}{path}")
        if live:
            page.wait_for_selector("#link.is-live")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def until(page: Any, expression: str) -> None:
    """Not Playwright's wait_for_function, which evaluates inside the page: the page's policy refuses that."""
    eventually(lambda: page.evaluate(expression), expression)


def assert_accessible(page: Any) -> None:
    results = axe.Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def row(page: Any, job_id: str) -> Any:
    return page.locator(f'#jobs tr[data-id="{job_id}"]')


def assert_no_sideways_scroll(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_without_jobs_it_says_how_to_begin(server: Server, open_page: Any, scheme: str) -> None:
    page = open_page(server, color_scheme=scheme)
    page.wait_for_selector("#empty:visible")
    assert "/queue/submit" in page.inner_text("#empty")
    assert page.inner_text("#n-queued") == "0"
    assert_accessible(page)


def test_a_job_shows_up_runs_and_ends_without_a_reload(server: Server, client: Client, open_page: Any) -> None:
    page = open_page(server)
    gate = server.directory / "gate"
    client.submit(shell(f"while [ ! -e {gate} ]; do sleep 0.02; done"), job_id="watched")
    row(page, "watched").locator(".s-running").wait_for()
    until(page, "document.getElementById('n-running').textContent === '1'")
    gate.touch()
    row(page, "watched").locator(".s-succeeded").wait_for()
    until(page, "document.getElementById('n-succeeded').textContent === '1'")
    assert page.locator("#rate-plot .bar-good").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_job_is_told_whole_with_its_timeline_output_and_error(
    server: Server, client: Client, open_page: Any, scheme: str
) -> None:
    script = "echo to stdout; echo '<b>boom</b>' >&2; exit 3"
    client.submit(shell(script), job_id="broken", labels={"run": "<i>7</i>"})
    eventually(lambda: client.status("broken").state == "failed", "the job to fail")
    page = open_page(server, color_scheme=scheme)
    row(page, "broken").locator("button").click()
    page.wait_for_selector("#sheet[open]")
    page.wait_for_selector("#sheet-timeline li.bad")
    assert [text.split("\n")[0] for text in page.locator("#sheet-timeline li").all_inner_texts()] == [
        "Submitted",
        "Started",
        "Failed",
    ]
    until(page, "document.getElementById('sheet-log').textContent === 'to stdout\\n'")
    page.click("[data-log=stderr]")
    # What a job wrote is text, never markup.
    until(page, "document.getElementById('sheet-log').textContent === '<b>boom</b>\\n'")
    assert "3" in page.inner_text("#sheet-error")
    assert "<i>7</i>" in page.inner_text("#sheet-facts")
    assert script in json.loads(page.inner_text("#sheet-payload"))["command"]
    assert_accessible(page)


def test_output_and_timeline_follow_a_job_that_runs(server: Server, client: Client, open_page: Any) -> None:
    gate = server.directory / "gate"
    client.submit(
        shell(f"echo one; while [ ! -e {gate} ]; do sleep 0.02; done; echo two; echo '__DSPY_RESULT__:[1]'"),
        job_id="a",
    )
    page = open_page(server, "/#job=a")
    until(page, "document.getElementById('sheet-log').textContent === 'one\\n'")
    page.wait_for_selector("#sheet-state .s-running")
    gate.touch()
    until(page, "document.getElementById('sheet-log').textContent.includes('two\\n')")
    page.wait_for_selector("#sheet-state .s-succeeded")
    page.wait_for_selector("#sheet-result:visible")
    assert json.loads(page.inner_text("#sheet-result")) == [1]


def test_everything_is_reached_by_keyboard(server: Server, client: Client, open_page: Any) -> None:
    for name in ("first", "second"):
        client.submit(["false"] if name == "second" else ["true"], job_id=name)
        client.wait(name, check=False, timeout=60)
    page = open_page(server)
    row(page, "second").wait_for()

    def focus(description: str, test: str) -> None:
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate(f"(() => {{ const at = document.activeElement; return {test}; }})()"):
                return
        raise AssertionError(f"Tab does not reach {description}")

    focus("the filter Failed", "at.dataset.tab === 'failed'")
    page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('#jobs tr').length === 1")
    focus("the job", "at.textContent === 'second'")
    page.keyboard.press("Enter")
    page.wait_for_selector("#sheet[open]")
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")
    until(page, "!document.getElementById('sheet').open")
    assert page.evaluate("document.activeElement.textContent") == "second"


def test_it_fits_a_phone(server: Server, client: Client, open_page: Any) -> None:
    long = "evaluation-" + "x" * 100
    client.submit(shell("echo no >&2; exit 1"), job_id=long)
    client.wait(long, check=False, timeout=60)
    page = open_page(server, viewport={"width": 360, "height": 740}, has_touch=True)
    row(page, long).wait_for()
    assert_no_sideways_scroll(page)
    assert_accessible(page)
    row(page, long).locator("button").tap()
    page.wait_for_selector("#sheet-timeline li.bad")
    assert_no_sideways_scroll(page)
    assert page.evaluate("document.getElementById('sheet').scrollWidth <= innerWidth")


def test_it_says_when_the_server_is_gone_and_goes_on_when_it_is_back(
    server: Server, client: Client, open_page: Any
) -> None:
    client.submit(["true"], job_id="before")
    client.wait("before", timeout=60)
    page = open_page(server)
    row(page, "before").wait_for()
    server.kill()
    page.wait_for_selector("#lost:visible")
    assert "does not answer" in page.inner_text("#lost")
    assert page.inner_text("#link-text") == "Disconnected"
    assert row(page, "before").count() == 1
    assert_accessible(page)
    server.start()
    page.wait_for_selector("#link.is-live")
    page.wait_for_selector("#lost", state="hidden")
    client.submit(["true"], job_id="after")
    row(page, "after").locator(".s-succeeded").wait_for()


def test_it_begins_again_when_the_server_is_another(server: Server, client: Client, open_page: Any) -> None:
    """As after a restore: the cursor it had is ahead of the log there is now."""
    for number in range(5):
        client.submit(["true"], job_id=f"old-{number}")
        client.wait(f"old-{number}", timeout=60)
    page = open_page(server)
    row(page, "old-4").wait_for()
    server.kill()
    server.data.rename(server.directory / "old-data")
    (server.queue / "done").rename(server.directory / "old-done")
    server.start()
    page.wait_for_selector("#link.is-live")
    page.wait_for_selector("#empty:visible")
    client.submit(["true"], job_id="new")
    row(page, "new").locator(".s-succeeded").wait_for()


@pytest.mark.timeout(300)
def test_ten_thousand_jobs_neither_slow_it_nor_fill_it(server: Server, client: Client, open_page: Any) -> None:
    occupy(client)
    stub = server.stub()
    page = open_page(server)
    for start in range(0, 10_000, 1_000):
        stub.SubmitJobs(
            pb.SubmitJobsRequest(
                jobs=[
                    pb.SubmitJobRequest(
                        job_id=f"many-{number:05}",
                        job_class=pb.JOB_CLASS_CPU_LONG,
                        payload=b'{"command":["true"]}',
                    )
                    for number in range(start, start + 1_000)
                ]
            )
        )
    until(page, "document.getElementById('n-queued').textContent === '10,000'")
    row(page, "many-09999").wait_for()
    rows = page.locator("#jobs tr").count()
    assert rows <= 100
    page.click("[data-tab=queued]")
    until(page, "document.getElementById('more-button').textContent.includes('of 10,000')")
    page.click("#more-button")
    until(page, "document.querySelectorAll('#jobs tr').length === 100")
    held = page.evaluate("jobs.size")
    assert held <= 2_000, f"the page holds {held} jobs"
    assert_no_sideways_scroll(page)
    assert_accessible(page)


def test_a_job_is_found_by_its_id(server: Server, client: Client, open_page: Any) -> None:
    for name in ("apple-1", "apple-2", "pear"):
        client.submit(["true"], job_id=name)
        client.wait(name, timeout=60)
    page = open_page(server)
    row(page, "pear").wait_for()
    page.fill("#find", "app")
    until(page, "document.querySelectorAll('#jobs tr').length === 2")
    page.fill("#find", "pear")
    page.press("#find", "Enter")
    page.wait_for_selector("#sheet[open]")
    page.wait_for_selector("#sheet-state .s-succeeded")
    page.click("#sheet-close")
    page.fill("#find", "nobody")
    page.press("#find", "Enter")
    until(page, "document.getElementById('sheet-error').textContent.includes('nobody')")


def test_with_tokens_it_asks_for_one_and_keeps_it_in_the_tab(stopped_server: Server, open_page: Any) -> None:
    tokens = stopped_server.directory / "tokens"
    tokens.write_text(f"reader read sha256:{hashlib.sha256(b'the-secret').hexdigest()}\n")
    tokens.chmod(0o600)
    stopped_server.flags = ("--auth-tokens", str(tokens))
    server = stopped_server.start()
    page = open_page(server, live=False)
    page.wait_for_selector("#locked:visible")
    assert_accessible(page)
    page.fill("#token", "wrong")
    page.press("#token", "Enter")
    until(page, "document.getElementById('locked-text').textContent.includes('did not take')")
    page.fill("#token", "the-secret")
    page.press("#token", "Enter")
    page.wait_for_selector("#link.is-live")
    page.wait_for_selector("#locked", state="hidden")
    page.reload()
    page.wait_for_selector("#link.is-live")
