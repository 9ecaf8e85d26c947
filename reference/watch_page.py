"""Opens the page of `fairhuman watch` in Chromium, while a tiny run trains, and checks what a person would see:
it opens without an error on the console, follows within two seconds of a step, survives a restart of the server, and is
whole at 400 and 1280 pixels, light and dark.

    pip install playwright            # with a Chromium on the PATH, such as Debian's
    python reference/watch_page.py target/debug/fairhuman [FOLDER FOR SCREENSHOTS]
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from playwright.sync_api import sync_playwright

RECIPE = """
steps = 100000
batch = 1
model.path = "tiny"
dataset.path = "people"
geometry = { width = 64, height = 64 }
objective = [{ name = "global" }, { name = "face", mask = "mask_face" }, { name = "hand", mask = "mask_hand" }]
lora.rank = 2
validation = { share = 0.2, every = 20 }
samples = { prompts = ["a man"], every = 100, steps = 2 }
"""


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    shots = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
    world = pathlib.Path(tempfile.mkdtemp())
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(world), "XDG_CACHE_HOME": str(world / "cache")}

    def run(*arguments, **more):
        return subprocess.Popen([program, *arguments], cwd=world, env=environment, text=True, **more)

    assert run("people", "--count", "10", "--size", "64", "--out", "people").wait() == 0
    assert run("init-model", "--preset", "tiny", "--out", "tiny").wait() == 0
    (world / "recipe.toml").write_text(RECIPE)
    training = run("train", "recipe.toml", "--threads", "1", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = world / "runs/recipe/events.jsonl"
    while not (log.exists() and '"event":"step"' in log.read_text()):
        time.sleep(0.1)

    def serve(port):
        server = run("watch", "runs/recipe", "--port", port, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return server, server.stdout.readline().strip()

    server, address = serve("0")
    port = re.search(r":(\d+)/", address).group(1)

    def steps_done():
        return sum('"event":"step"' in line for line in log.read_text().splitlines())

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        problems = []
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#connection.live")
        assert "token" not in page.url, page.url

        def shown():
            words = page.inner_text("#part-runs .sub")
            return int(re.search(r"step (\d+)", words).group(1))

        def wait(condition):
            # The page's policy forbids the evaluation of texts, which Playwright's own waiting does in it.
            end = time.time() + 15
            while not condition():
                assert time.time() < end
                time.sleep(0.05)

        delays = []
        for _ in range(5):
            wanted, begin = steps_done() + 1, time.time()
            while shown() < wanted:
                time.sleep(0.02)
                assert time.time() - begin < 10, f"step {wanted} is not shown"
            happened = begin
            while steps_done() < wanted:
                happened = time.time()
            delays.append(time.time() - happened)
        print("seconds until a step is shown:", [round(delay, 2) for delay in delays])
        assert max(delays) < 2, delays

        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            for width in (400, 1280):
                page.set_viewport_size({"width": width, "height": 900})
                overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                assert overflow <= 0, f"{width} {scheme}: {overflow} pixels too wide"
                page.screenshot(path=shots / f"watch-{width}-{scheme}.png", full_page=True)

        assert not problems, problems
        server.kill()
        server.wait()
        page.wait_for_selector("#connection.lost")
        server, again = serve(port)
        assert again == address
        page.wait_for_selector("#connection.live", timeout=15000)
        before = shown()
        wait(lambda: shown() > before)
        # A lost connection is told by the browser itself; nothing else may be.
        others = [text for text in problems if "ERR_CONNECTION" not in text and "ERR_INCOMPLETE" not in text]
        assert not others, others

        page.click("button[data-action=save]")
        wait(lambda: "checkpoint" in page.inner_text("output"))
        page.on("dialog", lambda dialog: dialog.accept())
        page.click("button[data-action=stop]")
        assert training.wait(60) == 130
        page.wait_for_selector("button[data-action]", state="detached")
        wait(lambda: "stopped after step" in page.inner_text("#part-runs"))
        browser.close()
    server.kill()
    last = json.loads(log.read_text().splitlines()[-1])
    assert last["reason"] == "stopped", last
    print("screenshots:", shots)


main()
