"""Laws of what the review's server answers: scores, conflicts, previews, pictures, and what it keeps to itself."""

import asyncio
import io
import json
import shutil
import zipfile

import httpx
import numpy as np
import pytest
from made_reviews import BLOBS, BONE, MERGED, MISSED, SHAPE, asked, label, made_results
from PIL import Image

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.errors import ResultError, ReviewError
from calcscore_ml.io import read_scan
from calcscore_ml.io.labels import read_labels
from calcscore_ml.result import read_result
from calcscore_ml.review.app import make_app
from calcscore_ml.review.export import label_volume, read_decisions
from calcscore_ml.review.server import check_host, open_review
from calcscore_ml.review.slices import WINDOWS, cut, grey
from calcscore_ml.sources import read_sources


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two scans with results, to be copied."""
    return made_results(tmp_path_factory.mktemp("made"))


@pytest.fixture
def results(made, tmp_path):
    """A folder of results of one's own; its scans lie where they were."""
    return shutil.copytree(made, tmp_path / "results")


class Page:
    """What a page of an observer would ask, without a network."""

    def __init__(self, setting, observer="anna"):
        self.setting, self.heard = setting, []
        address, _, token = setting.addresses[observer].partition("/#token=")
        self.options = {"base_url": address, "headers": {"Authorization": f"Bearer {token}"}}
        self.app = make_app(setting.review, setting.door, self.heard.append)

    def ask(self, method, path, **more):
        async def one():
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, **self.options) as client:
                return await client.request(method, path, **more)

        return asyncio.run(one())

    def get(self, path, code=200, **query):
        answer = self.ask("GET", path, params=query)
        assert answer.status_code == code, answer.text
        return answer if answer.headers["content-type"] != "application/json" else answer.json()

    def post(self, path, content, code=200):
        answer = self.ask("POST", path, json=content)
        assert answer.status_code == code, answer.text
        return answer.json()

    def scan(self, scan="scan-1"):
        return self.get("/api/scan", scan=scan)

    def decide(self, intent, scan="scan-1", code=200, seen=None):
        version = self.scan(scan)["version"] if seen is None else seen
        return self.post("/api/decide", asked(scan, version, intent), code)


@pytest.fixture
def opened():
    """Reviews that are closed after the test."""
    kept = []

    def opening(results, observers=("anna", "ben"), **more):
        kept.append(open_review(results, observers=observers, **more))
        return kept[-1]

    yield opening
    for setting in kept:
        setting.listener.close()
        setting.review.volumes.close()
        setting.review.threads.shutdown(wait=True)
        setting.review.volumes._readers.shutdown(wait=True)
        setting.review.desk.store.close()


def merged_lesion(told):
    """Key of the lesion that merges two."""
    return min(told["lesions"], key=lambda n: np.linalg.norm(np.subtract(n["centre"], np.mean(MERGED, axis=0))))["key"]


def test_what_is_told_is_what_the_result_says(results, opened):
    """Score, range, lesions, probabilities and reasons of the page are the result's own."""
    page = Page(opened(results))
    told = page.scan()
    result, calcium = read_result(results / "result-0")
    assert told["agatston"] == pytest.approx(result.score.total.agatston)
    assert told["headline"] == page.get("/api/queue")["scans"][0]["headline"]
    assert [n["key"] for n in told["lesions"]] == [str(n.lesion) for n in result.lesions]
    for shown, lesion in zip(told["lesions"], result.lesions, strict=True):
        assert shown["probabilities"][lesion.label] == lesion.probabilities[lesion.label.title]
        assert shown["reason"] == lesion.reason
        assert shown["peak_hu"] == lesion.peak_hu
        assert calcium.hu[(calcium.voxels == shown["peak"]).all(axis=1)] == lesion.peak_hu
    assert set(told["arteries"]) == {"LAD", "LCX"}


def test_a_decision_changes_score_range_queue_and_history_at_once(results, opened):
    """A coronary lesion called other leaves the score, and every number of the answer says so."""
    page = Page(opened(results))
    before = page.scan()
    target = max((n for n in before["lesions"] if n["label"] in ARTERIES), key=lambda n: n["effect"])
    answer = page.decide(label(target["key"], 0))
    assert answer["decision"]["change"].startswith(f"{before['agatston']:.0f} → ")
    after = answer["scan"]
    assert after["agatston"] == pytest.approx(before["agatston"] - target["effect"])
    assert after["pending"] == before["pending"] - 1
    assert after["lowest"] <= after["agatston"] <= after["highest"]
    assert after["history"][0]["observer"] == "anna"
    queue = page.get("/api/queue")
    assert (queue["scans"][0]["decided"], queue["scans"][0]["asked"]) == (1, len(before["lesions"]))
    (entry,) = [e for e in queue["lesions"] if (e["scan"], e["key"]) == ("scan-1", target["key"])]
    assert (entry["pending"], entry["label"]) == (False, 0)


def test_an_undo_brings_everything_back(results, opened):
    """After the undo of any decision, all that is told is as before but the history."""
    page = Page(opened(results))
    key = merged_lesion(page.scan())
    intents = [
        label(key, Label.RCA),
        {"kind": "split arteries", "lesion": key},
        {"kind": "exclude", "lesion": key, "positions": [0, 1]},
        {"kind": "add", "voxel": MISSED, "label": Label.LM},
        {"kind": "note", "lesion": key, "text": "looked at twice"},
    ]
    for intent in intents:
        before = page.scan()
        answer = page.decide(intent)
        assert {k: v for k, v in answer["scan"].items() if k not in ("history", "version")} != {
            k: v for k, v in before.items() if k not in ("history", "version")
        }
        page.decide({"kind": "undo", "event": answer["decision"]["id"]})
        after = page.scan()
        for told in (before, after):
            del told["history"], told["version"]
        assert after == before


def test_who_decided_is_told_by_the_token_alone(results, opened):
    """No field of a request can name another observer; what the page cannot say is refused."""
    setting = opened(results)
    ben = Page(setting, "ben")
    key = ben.scan()["lesions"][0]["key"]
    assert "observer" in ben.post("/api/decide", asked("scan-1", 0, label(key, 1)) | {"observer": "anna"}, 422)["error"]
    assert ben.decide(label(key, 1))["scan"]["lesions"][0]["decided_by"] == "ben"
    assert {e.observer for e in setting.review.desk.store.all_events()} == {"ben"}


def test_the_second_of_two_decisions_is_told_of_the_first(results, opened):
    """Nothing of the second is stored; its observer learns who decided what, and what stands now."""
    setting = opened(results)
    anna, ben = Page(setting), Page(setting, "ben")
    key = anna.scan()["lesions"][0]["key"]
    ben.decide(label(key, Label.RCA), seen=0)
    answer = anna.decide(label(key, Label.LAD), seen=0, code=409)
    (missed,) = answer["missed"]
    assert (missed["observer"], missed["label"], missed["lesion"]) == ("ben", Label.RCA, key)
    assert answer["scan"]["version"] == 1
    assert len(setting.review.desk.store.all_events()) == 1
    assert any("409" in e.what and e.observer == "anna" for e in setting.review.desk.store.audit_entries())
    anna.decide(label(key, Label.LAD), seen=99, code=409)
    merged = merged_lesion(anna.scan())
    ben.decide({"kind": "split arteries", "lesion": merged}, seen=1)
    answer = anna.decide({"kind": "split arteries", "lesion": merged}, seen=1, code=409)  # there is no such lesion now
    assert answer["missed"][0]["text"] == f"lesion {merged} split into 2"


def test_a_blinded_reader_is_told_nothing_of_the_other(results, opened):
    """Not the decision, not the version, not a queue that moved, not the name."""
    setting = opened(results, mode="blinded")
    anna, ben = Page(setting), Page(setting, "ben")
    paths = [("/api/scan", {"scan": "scan-1"}), ("/api/queue", {}), ("/api/voxels", {"scan": "scan-1"})]
    before = [anna.get(path, **query) for path, query in paths]
    told = ben.scan()
    ben.decide(label(told["lesions"][0]["key"], 0))
    ben.decide({"kind": "note", "lesion": None, "text": "secret"})
    ben.decide({"kind": "add", "voxel": MISSED, "label": 1})
    after = [anna.get(path, **query) for path, query in paths]
    assert after == before
    assert anna.get("/api/pulse")["versions"] == {}
    assert "secret" not in json.dumps(after)
    anna.decide(label(told["lesions"][0]["key"], 1), seen=0)


def test_a_preview_stores_nothing_and_foretells_the_decision(results, opened):
    """What a preview says of the score is what the decision then does."""
    setting = opened(results)
    page = Page(setting)
    key = merged_lesion(page.scan())
    (z, y, x), (_, v, u) = MERGED
    across = {"kind": "split plane", "lesion": key, "axis": "axial"}
    middle, along = np.array([(y + v) / 2, (x + u) / 2]), np.array([-(u - x), v - y])
    across |= {"first": [z, *(middle - along)], "second": [z, *(middle + along)]}
    for intent in (across, {"kind": "add", "voxel": MISSED, "label": 1}):
        foretold = page.post("/api/preview", asked("scan-1", page.scan()["version"], intent))
        assert setting.review.desk.store.events("scan-1", "shared") == tuple(page_events(setting))
        done = page.decide(intent)["scan"]
        assert {k: done[k] for k in foretold["after"]} == foretold["after"]
        shapes = page.get("/api/voxels", scan="scan-1")["lesions"]
        for made_key, made in foretold["lesions"].items():
            assert shapes[made_key]["voxels"] == made["voxels"]
    parts = [n for n in page.scan()["lesions"] if n["key"].startswith(f"{key}.")]
    assert len(parts) == 2
    for centre in MERGED:
        assert min(np.linalg.norm(np.subtract(p["centre"], centre)) for p in parts) < 1.5


def page_events(setting):
    return [e for e in setting.review.desk.store.all_events() if e.scan_id == "scan-1"]


def test_an_added_lesion_has_the_scans_own_values(results, opened):
    """The server looks at the scan: a request cannot say which voxels or values, only where to look."""
    page = Page(opened(results))
    scan = read_scan(read_sources(results)["scan-1"].path)
    page.decide({"kind": "add", "voxel": MISSED, "label": Label.RCA})
    shape = np.array(page.get("/api/voxels", scan="scan-1")["lesions"]["+1"]["voxels"]).reshape(-1, 3)
    (event,) = page.setting.review.desk.store.all_events()
    assert event.event.hu == tuple(scan.hu[tuple(shape.T)].tolist())
    assert scan.hu[tuple(shape.T)].min() >= 130
    for voxel, words in ((BONE, "at most"), ((0, 0, 0), "at least"), (BLOBS[0][0], "already"), (SHAPE, "of the scan")):
        assert words in page.decide({"kind": "add", "voxel": voxel, "label": 1}, code=422)["error"]
    assert page.decide({"kind": "add", "voxel": MISSED, "label": 0}, code=422)


def test_decisions_are_kept_when_the_server_is_opened_again(results, opened):
    """Another server on the same folder tells exactly what the first told."""
    first = Page(opened(results))
    for number, lesion in enumerate(first.scan()["lesions"]):
        first.decide(label(lesion["key"], number % 8))
    again = Page(opened(results))
    assert again.scan() | {"state": 0} == first.scan() | {"state": 0}


def test_two_servers_on_one_store_see_each_others_decisions(results, opened):
    """A decision made elsewhere is told at the next request, and its version counts."""
    here, there = Page(opened(results)), Page(opened(results), "ben")
    key = here.scan()["lesions"][0]["key"]
    there.decide(label(key, 3))
    assert here.get("/api/pulse")["versions"] == {"scan-1": 1}
    assert here.get("/api/queue")["scans"][0]["version"] == 1
    here.decide(label(key, 2), seen=0, code=409)


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
def test_pictures_are_of_the_slice_that_was_asked_for(results, opened, axis):
    """Pixel by pixel the scan's own values, by each window; prepared or not makes no difference."""
    page = Page(opened(results))
    scan = read_scan(read_sources(results)["scan-2"].path)
    for name, window in WINDOWS.items():
        answer = page.get("/api/slice", scan="scan-2", axis=axis, index=7, window=name)
        assert answer.headers["cache-control"].startswith("private")
        seen = np.asarray(Image.open(io.BytesIO(answer.content)))
        assert np.array_equal(seen, grey(cut(scan.hu, axis, 7), window))
    assert Image.open(io.BytesIO(page.get("/api/heart", scan="scan-2", axis=axis).content)).mode == "L"


def test_a_scan_that_is_gone_is_told_and_the_others_go_on(results, opened):
    """Its lesions are listed, its picture says why not and names no path; the other scan is shown."""
    moved = read_sources(results)["scan-1"].path
    lines = (results / ".scans.jsonl").read_text().replace(str(moved), str(moved) + "-gone")
    (results / ".scans.jsonl").write_text(lines)
    page = Page(opened(results))
    answer = page.get("/api/slice", code=422, scan="scan-1", axis="axial", index=3)
    assert "--scans" in answer["error"]
    queue = page.get("/api/queue")
    state = {s["scan"]: s["state"] for s in queue["scans"]}
    assert state["scan-1"][0] == "failed"
    assert {e["scan"] for e in queue["lesions"]} == {"scan-1", "scan-2"}
    page.get("/api/slice", scan="scan-2", axis="axial", index=3)
    assert "Doe" not in json.dumps([answer, queue, page.scan()])


def test_nothing_that_is_told_holds_a_path_or_a_name(results, opened):
    """Folders named after patients appear in no answer."""
    page = Page(opened(results))
    told = [page.get(p, **q) for p, q in (
        ("/api/start", {}), ("/api/queue", {}), ("/api/pulse", {}), ("/api/scan", {"scan": "scan-1"}),
        ("/api/voxels", {"scan": "scan-1"}),
    )]  # fmt: skip
    assert "Doe" not in json.dumps(told)
    assert str(results) not in json.dumps(told)


def test_scans_that_moved_are_found_by_their_fingerprint(made, tmp_path, opened):
    """`--scans` takes any scan, and knows which it is; one that no result is of is refused."""
    results = shutil.copytree(made, tmp_path / "results", ignore=shutil.ignore_patterns(".*"))
    places = [s.path for s in read_sources(made).values()]
    moved = [shutil.copytree(places[0].parent, tmp_path / "elsewhere") / p.name for p in places[:1]]
    page = Page(opened(results, scans=moved))
    page.get("/api/slice", scan="scan-1", axis="axial", index=3)
    page.get("/api/slice", code=422, scan="scan-2", axis="axial", index=3)
    shutil.rmtree(results / "result-0")
    with pytest.raises(ReviewError, match="no result is of"):
        open_review(results, observers=["anna"], scans=moved)


def test_a_result_that_cannot_be_read_does_not_stop_the_others(results, opened):
    """It is named with the reason; a folder with no result at all is refused."""
    (results / "result-1" / "voxels.npz").write_bytes(b"broken")
    page = Page(opened(results))
    assert list(page.get("/api/start")["failed"]) == ["result-1"]
    assert [s["scan"] for s in page.get("/api/queue")["scans"]] == ["scan-1"]
    with pytest.raises(ResultError, match="calcscore score"):
        open_review(results / "result-0", observers=["anna"])


@pytest.mark.parametrize("names", [("shared",), ("consensus",), ("a", "a"), ("",), ("a b",), ("../x",)])
def test_observers_have_names_of_their_own(results, names):
    """A name that is a reading's, comes twice or is none is refused."""
    with pytest.raises(ReviewError):
        open_review(results, observers=names)


def test_a_review_listens_on_this_machine_only():
    """Another address must be asked for, and be one."""
    for host in ("127.0.0.1", "localhost", "::1"):
        check_host(host, allow_network=False)
    with pytest.raises(ReviewError, match="allow-network"):
        check_host("192.168.1.5", allow_network=False)
    check_host("192.168.1.5", allow_network=True)
    for host in ("0.0.0.0", "::"):
        with pytest.raises(ReviewError, match="one address"):
            check_host(host, allow_network=True)


def test_a_store_that_fails_confirms_nothing(results, opened, monkeypatch):
    """The page is told that nothing was saved, whoever started the server is told why, and no path reaches the page."""
    from calcscore_ml.errors import StoreError
    from calcscore_ml.review.store import Store

    def full(*_, **__):
        raise StoreError("the disk is full at /secret/decisions.sqlite")

    page = Page(opened(results))
    key = page.scan()["lesions"][0]["key"]
    monkeypatch.setattr(Store, "append", full)
    answer = page.decide(label(key, 1), code=507)
    assert "nothing was saved" in answer["error"]
    assert "secret" not in json.dumps(answer)
    assert page.heard == ["the disk is full at /secret/decisions.sqlite"]
    monkeypatch.undo()
    page.decide(label(key, 1), seen=0)


def test_settling_shows_both_readings_and_where_they_differ(results, opened):
    """Agreed labels are told as such, differing ones come first in the queue, and what is settled is a reading."""
    blinded = opened(results, mode="blinded")
    anna, ben = Page(blinded), Page(blinded, "ben")
    keys = [n["key"] for n in anna.scan()["lesions"]]
    for key in keys[:3]:
        anna.decide(label(key, Label.LAD))
        ben.decide(label(key, Label.LAD if key == keys[0] else Label.RCA))
    ben.decide({"kind": "note", "lesion": keys[1], "text": "why not"})
    clara = Page(opened(results, observers=["clara"], mode="consensus"), "clara")
    told = clara.scan()["opinions"]
    assert (told[keys[0]]["agreed"], told[keys[0]]["label"]) == (True, Label.LAD)
    assert [(s["reading"], s["text"]) for s in told[keys[1]]["said"]] == [("anna", "LAD"), ("ben", "RCA")]
    assert told[keys[1]]["said"][1]["note"] == "why not"
    assert told[keys[1]]["differs"]
    assert not told[keys[4]]["differs"]
    first = clara.get("/api/queue")["lesions"][:2]
    assert {(e["key"], e["differs"], e["pending"]) for e in first} == {(k, True, True) for k in keys[1:3]}
    agreement = clara.get("/api/agreement")
    assert agreement["pairs"][0]["numbers"][:2] == [["lesions both decided", "3"], ["same label", "33%"]]
    assert {d["name"] for d in agreement["disagreements"]} == set(keys[1:3])
    clara.decide(label(keys[1], Label.RCA))
    settled = {d["name"]: d["settled"] for d in clara.get("/api/agreement")["disagreements"]}
    assert settled == {keys[1]: True, keys[2]: False}
    assert clara.setting.review.desk.store.readings() == ("anna", "ben", "consensus")
    anna.get("/api/agreement", code=404)


def test_a_split_and_an_added_lesion_are_settled_too(results, opened):
    """What one reading split or added is told as different from what the other has there."""
    blinded = opened(results, mode="blinded")
    anna, ben = Page(blinded), Page(blinded, "ben")
    key = merged_lesion(anna.scan())
    anna.decide({"kind": "split arteries", "lesion": key})
    anna.decide(label(f"{key}.1", 1))
    anna.decide(label(f"{key}.2", 2))
    ben.decide(label(key, 1))
    ben.decide({"kind": "add", "voxel": MISSED, "label": 3})
    clara = Page(opened(results, observers=["clara"], mode="consensus"), "clara")
    told = clara.scan()["opinions"][key]
    assert told["differs"]
    assert [s["text"] for s in told["said"]] == ["LAD and LCX (split)", "LAD"]
    assert any("nothing" in d["text"] for d in clara.get("/api/agreement")["disagreements"])


@pytest.mark.parametrize("mode", ["shared", "blinded", "consensus"])
def test_what_is_taken_away_is_the_reading_that_is_seen(results, opened, mode):
    """The table, the label volume and the results are what stands; of others' blinded readings nothing is in them."""
    with_secret = opened(results, mode="blinded", observers=["ben"])
    ben = Page(with_secret, "ben")
    ben.decide({"kind": "note", "lesion": None, "text": "bens secret"})
    page = Page(opened(results, mode=mode))
    told = page.decide(label(page.scan()["lesions"][0]["key"], 0))["scan"]
    rows = read_decisions(page.get("/api/export/decisions.csv").text)
    assert ("bens secret" in {r.note for r in rows}) == (mode == "consensus")
    volume = results.parent / "labels.nii.gz"
    volume.write_bytes(page.get("/api/export/labels.nii.gz", scan="scan-1").content)
    reading = page.setting.review.desk.reading("scan-1", page.setting.review.desk.reading_of("anna"))
    assert np.array_equal(read_labels(volume, reading.calcium.geometry), label_volume(reading))
    with zipfile.ZipFile(io.BytesIO(page.get("/api/export/results.zip").content)) as archive:
        archive.extractall(results.parent / "out")
    result, _ = read_result(results.parent / "out" / "result-0001")
    assert (result.scan_id, result.score.total.agatston) == ("scan-1", pytest.approx(told["agatston"]))
    assert any(e.what.startswith("exported") for e in page.setting.review.desk.store.audit_entries())
