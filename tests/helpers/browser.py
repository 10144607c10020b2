"""A headless Chromium for tests of pages: what it asks the network for, what does not fit, what axe-core says."""

import contextlib
import os
import pathlib
import shutil
from importlib import metadata

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")


@contextlib.contextmanager
def chromium():
    """A browser without a network of its own; skips the test, saying why, where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not program:
        pytest.skip(f"no Chromium on this machine (looked for {', '.join(NAMES)}; CHROMIUM=path names another)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def visit(browser, file, width=1280, height=720, query=""):
    """Open a file. Returns (page, requests that are neither files nor data, errors of the page's scripts)."""
    page = browser.new_page(viewport={"width": width, "height": height})
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url)
            if not request.url.startswith(("file:", "data:", "blob:", "about:")) else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.route(lambda url: url.startswith(("http:", "https:", "ws:", "wss:")), lambda route: route.abort())
    page.goto(pathlib.Path(file).resolve().as_uri() + query, wait_until="load")
    return page, asked, errors


def axe(page):
    """The serious and critical violations that axe-core finds, a sentence each."""
    try:
        script = next(file for file in metadata.files("axe-playwright-python") if file.name == "axe.min.js").locate()
    except (metadata.PackageNotFoundError, StopIteration):
        pytest.skip("axe-playwright-python, which brings axe-core, is not installed")
    page.evaluate(pathlib.Path(script).read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{v['id']} ({v['impact']}): {v['help']}: {len(v['nodes'])} times, first {v['nodes'][0]['html'][:150]}"
            for v in found if v["impact"] in ("serious", "critical")]
