"""Opens the page of `fairhuman edit` in Chromium and does what a person does there: paints, undoes, erases, draws a
rectangle, writes a caption, saves, goes on to the next picture; and checks the dataset's files, the console, and that the
page is whole at 400 and 1280 pixels, light and dark.

    pip install playwright numpy pillow        # with a Chromium on the PATH, such as Debian's
    python reference/edit_page.py target/debug/fairhuman [FOLDER FOR SCREENSHOTS]
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    shots = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
    world = pathlib.Path(tempfile.mkdtemp())
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(world), "XDG_CACHE_HOME": str(world / "cache")}

    def run(*arguments, **more):
        return subprocess.Popen([program, *arguments], cwd=world, env=environment, text=True, **more)

    assert run("people", "--count", "12", "--size", "256", "--out", "people").wait() == 0
    server = run("edit", "people", "--port", "0", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    address = server.stdout.readline().strip()

    def row(index):
        return json.loads((world / "people/metadata.jsonl").read_text().splitlines()[index])

    def mask(index, region):
        name = row(index)[f"mask_{region}"]
        return np.asarray(Image.open(world / "people" / name).convert("L")) if name else np.zeros((256, 256))

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        problems, asked = [], []
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.accept()))
        page.goto(address)
        assert "token" not in page.url, page.url
        assert page.locator(".card").count() == 12

        def look(name):
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                for width in (400, 1280):
                    page.set_viewport_size({"width": width, "height": 900})
                    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                    assert overflow <= 0, f"{name} {width} {scheme}: {overflow} pixels too wide"
                    page.screenshot(path=shots / f"{name}-{width}-{scheme}.png")

        page.wait_for_timeout(500)
        look("edit-album")
        page.click(".card >> nth=2")
        page.wait_for_selector("#editor[open] canvas.active")
        page.wait_for_timeout(500)
        look("edit-picture")

        box = page.locator("#canvas").bounding_box()
        assert abs(box["width"] - box["height"]) < 1, box

        def at(x, y):
            return box["x"] + x / 256 * box["width"], box["y"] + y / 256 * box["height"]

        def drag(*points):
            page.mouse.move(*at(*points[0]))
            page.mouse.down()
            for point in points[1:]:
                page.mouse.move(*at(*point), steps=8)
            page.mouse.up()

        before = {region: mask(2, region) for region in ("face", "hand")}
        caption = row(2)["text"]
        page.click("#clear")
        drag((40, 60), (200, 60))
        drag((40, 200), (200, 200))
        page.click("#undo")
        assert page.locator("#redo").is_enabled()
        page.check("input[value=box]")
        drag((100, 150), (140, 180))
        page.keyboard.press("e")
        drag((128, 40), (128, 80))
        page.screenshot(path=shots / "edit-painted.png")
        page.keyboard.press("2")
        page.check("input[value=brush]")
        drag((20, 240), (60, 240))
        page.fill("#caption", caption + ", waving")
        page.keyboard.press("Control+s")
        page.wait_for_selector("#told.good")
        face, hand = mask(2, "face"), mask(2, "hand")
        assert row(2)["text"] == caption + ", waving"
        assert face[60, 45] == 255 and face[165, 120] == 255, "painted"
        assert face[60, 128] == 0, "erased"
        assert face[200, 120] == 0, "undone"
        assert hand[240, 40] == 255 and (hand[:200] == before["hand"][:200]).all(), "only where the brush was"
        assert page.locator("#save").is_disabled()
        # What is seen is what is written: the browser's own drawing against the server's.
        painted = page.evaluate(
            """() => { const c = document.querySelectorAll('#canvas canvas')[0], d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
               return [c.width, Array.from({length: d.length / 4}, (_, i) => d[4 * i + 3])]; }"""
        )
        seen = np.array(painted[1]).reshape(-1, painted[0])
        assert seen.shape == face.shape and (seen >= 128).sum() == (face >= 128).sum()

        # The next picture asks first where something is not saved.
        page.fill("#caption", "not saved")
        page.keyboard.press("PageDown")
        end = time.time() + 10
        while "00003" not in page.inner_text("#editor-name"):
            assert time.time() < end
            time.sleep(0.05)
        assert any("without saving" in words for words in asked), asked
        assert row(2)["text"] == caption + ", waving"

        # Somebody else changed the file in the meantime.
        lines = (world / "people/metadata.jsonl").read_text().splitlines()
        other = json.loads(lines[3]) | {"text": "theirs"}
        (world / "people/metadata.jsonl").write_text("\n".join(lines[:3] + [json.dumps(other)] + lines[4:]) + "\n")
        problems.clear()
        page.fill("#caption", "mine")
        page.click("#save")
        page.wait_for_selector("#told.bad")
        assert "changed since" in page.inner_text("#told"), page.inner_text("#told")
        assert row(3)["text"] == "theirs"
        # The refused request is told by the browser itself.
        assert all("409" in text for text in problems), problems
        page.keyboard.press("Escape")
        page.wait_for_selector("#editor:not([open])", state="attached")
        browser.close()
    server.kill()
    print("screenshots:", shots)


main()
