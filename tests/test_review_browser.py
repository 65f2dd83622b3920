"""The review page in a real browser: whole queues by keyboard, two observers, a server that goes away."""

import json
import shutil

import pytest
from browsers import browser
from made_reviews import MERGED, MISSED, Served, made_results
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from calcscore_ml.anatomy import Label
from calcscore_ml.review.store import STORE_FILE, open_store

SIZES = ((1280, 720), (1024, 640))

LEVELS = """
const light = (c) => { const v = c / 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const behind = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const found = parse(getComputedStyle(at).backgroundColor);
    if (found.length < 4 || found[3] > 0.9) return found;
  }
  return [0, 0, 0];
};
const low = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || !node.checkVisibility()) continue;
  if (node.closest("dialog, .skip, .spoken, script")) continue;
  const [a, b] = [luminance(parse(getComputedStyle(node).color)), luminance(behind(node))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) low.push([walker.currentNode.textContent.trim(), ratio]);
}
return low;
"""
"""Texts whose contrast is below WCAG AA's 4.5 to 1."""

HIDDEN = """
const out = [];
const wanted = "button, canvas, h1, h2, footer strong, #progress-text, #score, #category";
for (const node of document.querySelectorAll(wanted)) {
  if (!node.checkVisibility() || node.closest("dialog, .rows, .facts-scroll")) continue;
  const box = node.getBoundingClientRect();
  const inside = box.left >= 0 && box.top >= 0 && box.right <= innerWidth && box.bottom <= innerHeight;
  const at = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
  if (!inside || !(node.contains(at) || at?.contains(node))) out.push(node.id || node.textContent);
  if (node.matches("button") && node.scrollWidth > node.clientWidth + 1) out.push(`clipped: ${node.textContent}`);
}
const { scrollHeight, scrollWidth } = document.documentElement;
if (scrollHeight > innerHeight || scrollWidth > innerWidth) out.push("scrolls");
return out;
"""
"""Controls that are outside the window, covered by something else, or clipped."""

NAMELESS = """
return [...document.querySelectorAll("button, canvas, [role=region], [role=group], dialog, ol, progress, textarea")]
  .filter((n) => n.checkVisibility())
  .filter((n) => !(n.getAttribute("aria-label") || n.getAttribute("aria-labelledby")))
  .filter((n) => !(n.textContent.trim() || n.labels?.length))
  .map((n) => n.outerHTML);
"""
"""Parts of the page that a screen reader could not name."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return made_results(tmp_path_factory.mktemp("made"), scans=2)


@pytest.fixture
def results(made, tmp_path):
    return shutil.copytree(made, tmp_path / "results")


@pytest.fixture(scope="module")
def looked_at(made):
    """A server for tests that decide nothing."""
    with Served(made) as server:
        yield server


@pytest.fixture(scope="module")
def anna(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("anna")) as page:
        yield page


@pytest.fixture(scope="module")
def ben(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("ben")) as page:
        yield page


def queue(server, who="anna"):
    with server.client(who) as client:
        return client.get("/api/queue").json()


def shown(page):
    """Scan and lesion on the page."""
    return page.text("scan"), page.text("lesion").removeprefix("Lesion ")


def wait_saved(page, told):
    """Wait until the page says that a decision was saved, and what it changed."""
    page.until(lambda: page.text("saved") == "Saved" and told in page.text("change"), f"{told} is not saved")


def test_a_whole_queue_by_keyboard(anna, results):
    """Every pending lesion is labelled by one key; score, range and progress follow; undone, reloaded: all is kept."""
    with Served(results) as server:
        entries = [e for e in queue(server)["lesions"] if e["pending"]]
        anna.open(server.addresses["anna"])
        anna.ready()
        assert "token" not in anna.driver.current_url
        for number, entry in enumerate(entries):
            anna.until(lambda e=entry: shown(anna) == (e["scan"], e["key"]), "the next pending lesion is not shown")
            anna.ready()
            assert anna.text("progress") == f"{number} of {len(entries)} decided"
            anna.keys(" " if number % 2 else str(number % 8))
            wait_saved(anna, f"lesion {entry['key']}: ")
        anna.until(lambda: anna.text("progress") == f"{len(entries)} of {len(entries)} decided")
        told = {s["scan"]: s for s in queue(server)["scans"]}
        assert anna.text("score") == told[shown(anna)[0]]["headline"]
        assert not any(s["pending"] for s in told.values())
        rows = anna.find("scans").text
        assert all(f"{s['agatston']:.0f}" in rows for s in told.values())

        last = entries[-1]
        anna.keys("u")
        wait_saved(anna, f"lesion {last['key']}: undone")
        anna.at(last["key"])
        assert anna.text("progress") == f"{len(entries) - 1} of {len(entries)} decided"
        anna.driver.refresh()
        anna.at(last["key"])
        assert anna.text("progress") == f"{len(entries) - 1} of {len(entries)} decided"
        anna.keys("u")  # the one before is still known after the page was loaded again
        wait_saved(anna, f"lesion {entries[-2]['key']}: undone")
        assert anna.complaints() == []


def test_pictures_are_drawn_and_follow_the_keys(anna, looked_at):
    """Slices, window, zoom, outlines and views change what is on the canvas, by keys alone."""
    anna.open(looked_at.addresses["anna"])
    anna.ready()
    look = "const c = document.getElementById(arguments[0]); return c.toDataURL();"
    assert anna.run(
        "const c = document.getElementById('axial');"
        "return new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
    ) > 20  # fmt: skip
    anna.until(lambda: anna.run("return document.getElementById('heart').dataset.shown") is not None)
    for key in (Keys.ARROW_UP, "m", "l", "b", "c", "+", "-", "o", "o", "f", "r", "x"):
        before = anna.run(look, "axial")
        anna.keys(key)
        anna.until(lambda b=before: anna.run(look, "axial") != b, f"{key!r} changed nothing")
        anna.ready()
    before = anna.run(look, "heart")
    anna.keys("h")
    anna.until(lambda: anna.run(look, "heart") != before)
    where = anna.find("coronal").get_attribute("aria-label")
    anna.run("document.getElementById('coronal').focus()")
    anna.keys(Keys.ESCAPE, Keys.ARROW_UP)
    anna.until(lambda: anna.find("coronal").get_attribute("aria-label") != where)
    assert anna.complaints() == []


def place(page, target):
    """Bring the crosshair to a voxel (z, y, x) by keys, in the axial view; a tool or the crosshair is on."""
    page.run("document.getElementById('axial').focus()")

    def cursor():
        text = page.find("axial").get_attribute("aria-label").partition("crosshair at ")[2]
        return [int(v) for v in text.split(", ")]

    z, y, x = (b - a for a, b in zip(cursor(), target, strict=True))
    page.keys(
        *[Keys.PAGE_UP if z > 0 else Keys.PAGE_DOWN] * abs(z),
        *[Keys.ARROW_DOWN if y > 0 else Keys.ARROW_UP] * abs(y),
        *[Keys.ARROW_RIGHT if x > 0 else Keys.ARROW_LEFT] * abs(x),
    )
    page.until(lambda: cursor() == list(target), "the crosshair did not arrive")


def test_split_exclude_add_and_note_by_keyboard(anna, results):
    """The crosshair and the Enter key do all that a mouse does; what is stored is what was pointed at."""
    with Served(results) as server:
        anna.open(server.addresses["anna"])
        anna.ready()
        with server.client() as client:
            told = client.get("/api/scan", params={"scan": "scan-1"}).json()
        middle = [sum(v) / 2 for v in zip(*MERGED, strict=True)]
        merged = min(told["lesions"], key=lambda n: sum((a - b) ** 2 for a, b in zip(n["centre"], middle, strict=True)))
        while shown(anna) != ("scan-1", merged["key"]):
            before = shown(anna)
            anna.keys("n")
            anna.until(lambda b=before: shown(anna) != b)
        anna.at(merged["key"])

        anna.keys("s")
        for point in ((12, 29, 65), (12, 37, 59)):  # across the line between the two
            place(anna, point)
            anna.keys(Keys.ENTER)
        anna.until(lambda: "2 parts" in anna.text("tool"))
        anna.keys("y")
        wait_saved(anna, "split into 2")
        part = f"{merged['key']}.1"
        anna.at(part)

        anna.keys("e", "[", "[")
        with server.client() as client:
            peak = next(
                n for n in client.get("/api/scan", params={"scan": "scan-1"}).json()["lesions"] if n["key"] == part
            )
        place(anna, peak["peak"])
        anna.keys(Keys.ENTER)
        anna.until(lambda: not anna.text("tool").startswith(f"Exclude from {part}\n0 of"))
        anna.keys("y")
        wait_saved(anna, "excluded")

        anna.keys("a")
        place(anna, MISSED)
        anna.keys(Keys.ENTER)
        anna.until(lambda: "press 1 to 7" in anna.text("tool"))
        anna.keys("3")
        wait_saved(anna, "added: RCA")
        anna.at("+3")

        anna.keys("t")
        anna.until(lambda: anna.find("note-text").is_displayed())
        anna.keys("seen twice; <b>not bold</b>")
        anna.chord(Keys.CONTROL, Keys.ENTER)
        wait_saved(anna, "note")
        anna.until(lambda: "<b>not bold</b>" in anna.text("note"))
        with open_store(results / STORE_FILE) as store:
            kinds = [e.event.kind for e in store.events("scan-1", "shared")]
            added = store.events("scan-1", "shared")[2].event
        assert kinds == ["split", "exclude", "add", "note"]
        assert MISSED in added.voxels
        assert added.label == Label.RCA
        assert anna.complaints() == []


def test_two_observers_at_once(anna, ben, results):
    """The second of two decisions is told of the first, not applied, and the page shows what stands."""
    with Served(results, observers=("anna", "ben")) as server:
        for page, who in ((anna, "anna"), (ben, "ben")):
            page.open(server.addresses[who])
            page.ready()
        scan, key = shown(anna)
        assert shown(ben) == (scan, key)
        anna.run(
            "const ask = window.fetch; window.fetch = (url, more) =>"
            " String(url).includes('/api/pulse') ? new Promise(() => {}) : ask(url, more)"
        )  # her page does not hear what is new, so it is the server that has to refuse
        ben.keys("3")
        wait_saved(ben, f"lesion {key}: RCA")
        assert anna.text("progress").startswith("0 of")
        anna.keys("1")
        anna.until(lambda: anna.find("conflict").is_displayed(), "no conflict is told")
        told = anna.text("conflict")
        assert "ben decided on" in told
        assert f"lesion {key}: RCA" in told
        assert "not applied" in told
        assert anna.text("saved") == "Not saved"
        anna.keys(Keys.ENTER)
        with open_store(results / STORE_FILE) as store:
            assert [(e.observer, e.event.label) for e in store.all_events()] == [("ben", 3)]
        anna.until(lambda: anna.text("progress").startswith("1 of"))
        anna.until(lambda: anna.text("status") == "decided by ben")
        ben.ready()
        after = shown(ben)
        ben.keys("u")  # his last one, wherever he is now
        wait_saved(ben, f"lesion {key}: undone")
        assert after != (scan, key)


def test_a_blinded_reader_sees_nothing_of_the_other(anna, ben, results):
    """Neither the page nor anything it has loaded holds the other's name, labels, notes or progress."""
    with Served(results, "--blinded", observers=("anna", "ben")) as server:
        ben.open(server.addresses["ben"])
        ben.ready()
        _, key = shown(ben)
        ben.keys("0")
        wait_saved(ben, f"lesion {key}: other")
        ben.keys("t")
        ben.until(lambda: ben.find("note-text").is_displayed())
        ben.keys("secret opinion")
        ben.chord(Keys.CONTROL, Keys.ENTER)
        wait_saved(ben, "note")
        anna.open(server.addresses["anna"])
        anna.ready()
        assert anna.text("progress").startswith("0 of")
        page = anna.run("return document.documentElement.outerHTML + JSON.stringify(sessionStorage)")
        assert "secret" not in page
        assert "ben" not in page.replace("benign", "")
        assert anna.text("status") == "pending"


def test_a_server_that_goes_away_loses_nothing_and_pretends_nothing(anna, results):
    """A decision that was not confirmed is never shown as saved; it is told, kept and can be made again."""
    server = Served(results)
    try:
        anna.open(server.addresses["anna"])
        anna.ready()
        scan, key = shown(anna)
        server.kill()
        anna.keys("2")
        anna.until(lambda: anna.find("banner").is_displayed(), "nothing is told")
        anna.until(lambda: "Not saved yet" in anna.text("banner"))
        assert anna.text("saved") == "Not saved"
        assert shown(anna) == (scan, key)
        anna.keys("3")
        anna.until(lambda: "not saved yet" in anna.text("warning"))
        assert not (results / STORE_FILE).exists() or open_store(results / STORE_FILE).all_events() == ()
    finally:
        server.stop()
    with Served(results, port=server.port) as again:  # with another token, so the page is opened anew
        anna.driver.get(again.addresses["anna"])
        anna.ready()
        anna.until(lambda: "Not saved before" in anna.text("banner"))
        assert f"lesion {key}: LCX" in anna.text("banner")
        anna.find("banner").find_element(By.TAG_NAME, "button").click()
        anna.until(lambda: shown(anna) == (scan, key))
        anna.ready()
        anna.keys("2")
        wait_saved(anna, f"lesion {key}: LCX")


def test_an_answer_that_is_lost_is_no_conflict(anna, results):
    """The server stored it, the page never heard so and asks again: saved once, and shown so once it is confirmed."""
    with Served(results) as server:
        anna.open(server.addresses["anna"])
        anna.ready()
        _, key = shown(anna)
        anna.run(
            "const ask = window.fetch; let lost = 0;"
            "window.fetch = async (url, more) => { const answer = await ask(url, more);"
            " if (!String(url).includes('/api/decide') || lost++) return answer;"
            " await new Promise((done) => { window.lose = done; }); throw new TypeError('lost'); }"
        )
        anna.keys("3")
        anna.until(lambda: anna.run("return Boolean(window.lose)"))
        told = anna.text("saved"), anna.text("status"), anna.text("progress").split(" ")[0]
        assert told == ("Saving…", "saving…", "0")  # nothing is shown as saved before the answer is there
        anna.run("window.lose()")
        wait_saved(anna, f"lesion {key}: RCA")
        assert not anna.find("conflict").is_displayed()
        with open_store(results / STORE_FILE) as store:
            assert len(store.all_events()) == 1


def test_no_key_decides_before_the_picture_is_seen(anna, results):
    """While a lesion's picture has not come, labels are refused and told so; nothing is stored."""
    with Served(results) as server:
        anna.open(server.addresses["anna"])
        anna.ready()
        anna.run(
            "const ask = window.fetch; window.fetch = (url, more) =>"
            " String(url).includes('/api/slice') ? new Promise(() => {}) : ask(url, more)"
        )
        first = shown(anna)
        anna.keys("l", "n")  # pictures of another window, which do not come
        anna.until(lambda: shown(anna) != first)
        anna.keys("1")
        anna.until(lambda: "once it has been seen" in anna.text("warning"))
        with open_store(results / STORE_FILE) as store:
            assert store.all_events() == ()


def test_hostile_names_and_notes_are_text(anna, tmp_path):
    """Markup in a scan's id, a note or a reason is shown as it is written; nothing runs, nothing is loaded."""
    name = '<img src=x onerror="document.title=1">"\'&'
    results = made_results(tmp_path, scans=1, names=[name])
    file = results / "result-0" / "result.json"
    content = json.loads(file.read_text())
    for lesion in content["lesions"]:
        lesion["reason"] = "<script>document.title=2</script>"
        lesion["drivers"][0]["feature"] = "<svg onload=document.title=3>"
    content["intended_use"] = "<b>x</b>"
    file.write_text(json.dumps(content))
    with Served(results) as server:
        anna.open(server.addresses["anna"])
        anna.ready()
        assert anna.text("scan") == name
        assert "<script>document.title=2</script>" in anna.driver.find_element(By.ID, "reason").text
        assert anna.driver.find_elements(By.CSS_SELECTOR, "img, svg, main script") == []
        anna.keys("t")
        anna.until(lambda: anna.find("note-text").is_displayed())
        anna.keys("<iframe src=//x>")
        anna.chord(Keys.CONTROL, Keys.ENTER)
        wait_saved(anna, "note")
        anna.until(lambda: "<iframe src=//x>" in anna.text("note"))
        assert anna.driver.find_elements(By.CSS_SELECTOR, "iframe") == []
        assert anna.driver.title == "calcscore review"


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_everything_is_in_sight_named_and_legible(anna, looked_at, width, height):
    """On a small laptop no control is hidden, covered or clipped, each has a name, texts reach WCAG AA."""
    anna.size(width, height)
    anna.open(looked_at.addresses["anna"])
    anna.ready()
    anna.until(lambda: anna.run("return document.getElementById('heart').dataset.shown") is not None)
    for tool in ("", "s", "e", "a"):
        anna.keys(Keys.ESCAPE, tool) if tool else None
        assert anna.run(HIDDEN) == []
        assert anna.run(LEVELS) == []
        assert anna.run(NAMELESS) == []
    anna.keys(Keys.ESCAPE, "?")
    anna.until(lambda: anna.driver.find_element(By.ID, "keys").is_displayed())
    assert "accept what the model says" in anna.driver.find_element(By.ID, "keys").text
    anna.size(*SIZES[0])


def test_every_control_is_reached_and_shown_by_the_tabulator(anna, looked_at):
    """Going through the page by Tab reaches each button, and what has the focus is outlined."""
    anna.open(looked_at.addresses["anna"])
    anna.ready()
    reached = set()
    for _ in range(80):
        anna.keys(Keys.TAB)
        name, outline = anna.run(
            "const n = document.activeElement; const s = getComputedStyle(n);"
            "return [n.id || n.dataset.do || n.dataset.label || n.dataset.window || n.className || n.tagName,"
            " s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2]"
        )
        assert outline or name == "BODY", name
        reached.add(name)
    wanted = (
        "open-export filter-all split exclude add axial coronal sagittal calcium overlay 1 0 accept next heart-turn"
    )
    assert set(wanted.split()) <= reached


def test_a_consensus_shows_both_readings(anna, ben, results):
    """Beside each other, with their agreement; an agreed label is accepted by the space bar, a differing one is not."""
    with Served(results, "--blinded", observers=("anna", "ben")) as server:
        for who, labels in (("anna", (1, 2)), ("ben", (1, 3))):
            with server.client(who) as client:
                for entry, number in zip(queue(server, who)["lesions"][:2], labels, strict=True):
                    seen = client.get("/api/scan", params={"scan": entry["scan"]}).json()["version"]
                    intent = {"kind": "label", "lesion": entry["key"], "label": number}
                    client.post("/api/decide", json={"scan": entry["scan"], "seen": seen, "intent": intent})
    with Served(results, "--consensus", observers=("clara",)) as server:
        entries = queue(server, "clara")["lesions"]
        differing = next(e for e in entries if e["differs"])
        anna.open(server.addresses["clara"])
        anna.at(differing["key"])
        told = anna.text("opinions")
        assert "anna" in told
        assert "LCX" in told
        assert "RCA" in told
        anna.keys(" ")
        anna.until(lambda: "readings differ" in anna.text("warning"))
        anna.keys("g")
        anna.until(lambda: anna.find("agreement").is_displayed())
        assert "50%" in anna.text("agreement")
        anna.driver.find_element(By.ID, "adopt").click()
        anna.until(lambda: "1 labels adopted" in anna.text("agreement"))
        anna.keys(Keys.ESCAPE, "3")
        wait_saved(anna, f"lesion {differing['key']}: RCA")
    with open_store(results / STORE_FILE) as store:
        settled = [e for e in store.all_events() if e.reading == "consensus"]
    assert sorted(int(e.event.label) for e in settled) == [1, 3]
    assert {e.observer for e in settled} == {"clara"}
