"""Pictures of the review page for docs/review.md: main page, consensus, conflict.

python benchmarks/review_pictures.py RESULTS docs/pictures [--size 1280x720]

RESULTS is a folder of `calcscore score` with referred lesions; a copy of it is reviewed. Needs Debian's chromium and
chromium-driver.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from browsers import Browser, browser
from made_reviews import Served, asked, label


def picture(page: Browser, path: Path) -> None:
    page.until(lambda: page.run("return document.getElementById('heart').dataset.shown") is not None)
    shot = Image.open(io.BytesIO(page.driver.get_screenshot_as_png()))
    shot.convert("RGB").save(path, optimize=True)


def decide(server: Served, who: str, choose: dict[int, int]) -> None:
    """Label every pending lesion, most as the model does."""
    with server.client(who) as client:
        pending = [e for e in client.get("/api/queue").json()["lesions"] if e["pending"]]
        for number, entry in enumerate(pending):
            seen = client.get("/api/scan", params={"scan": entry["scan"]}).json()["version"]
            intent = label(entry["key"], choose.get(number, entry["label"]))
            client.post("/api/decide", json=asked(entry["scan"], seen, intent)).raise_for_status()


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("results", type=Path)
parser.add_argument("output", type=Path)
parser.add_argument("--size", default="1280x720")
options = parser.parse_args()
width, height = map(int, options.size.split("x"))
with tempfile.TemporaryDirectory() as folder, browser(Path(folder) / "profile", width, height) as page:
    copy = shutil.copytree(options.results, Path(folder) / "results")
    with Served(copy, observers=("anna", "ben")) as server:
        page.open(server.addresses["anna"])
        page.ready()
        picture(page, options.output / "review_main.png")
        page.run("const a = fetch; fetch = (u, o) => `${u}`.includes('pulse') ? new Promise(() => {}) : a(u, o)")
        decide(server, "ben", {0: 3})
        page.keys("1")
        page.until(lambda: page.find("conflict").is_displayed())
        picture(page, options.output / "review_conflict.png")
    (copy / "decisions.sqlite").unlink()
    with Served(copy, "--blinded", observers=("anna", "ben")) as server:
        decide(server, "anna", {})
        decide(server, "ben", {0: 3, 2: 0, 5: 6})
    with Served(copy, "--consensus", observers=("clara",)) as server:
        page.open(server.addresses["clara"])
        page.ready()
        picture(page, options.output / "review_consensus.png")
