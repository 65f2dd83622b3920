"""Laws of the review's server under hostile requests: refused, alive, within bounds. A real server on a real socket."""

import asyncio
import json
import shutil
import socket
from contextlib import closing, suppress

import httpx
import pytest
from made_reviews import Served, asked, label, made_results

from calcscore_ml.review.connections import CONNECTIONS_MOST, REQUEST_S
from calcscore_ml.review.desk import SHARED
from calcscore_ml.review.security import BODY_MOST, HEADERS
from calcscore_ml.review.store import STORE_FILE, open_store
from calcscore_ml.review.trail import LISTED_MOST

FLOOD = 10_000
"""Requests at a time."""

MEMORY_MB = 200
"""A server under attack grows by less: bodies, pictures and connections are bounded."""

READS = ("/api/start", "/api/queue", "/api/pulse", "/api/scan", "/api/voxels", "/api/slice", "/api/heart")
DOWNLOADS = tuple(f"/api/export/{n}" for n in ("decisions.csv", "labels.nii.gz", "results.zip"))
WRITES = ("/api/decide", "/api/preview")
GOOD = {"scan": "scan-1", "axis": "axial", "index": "3", "window": "calcium"}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    (folder / "results").mkdir()
    with Served(made_results(folder), observers=("anna", "ben")) as server:
        server.results = folder / "results"
        yield server


@pytest.fixture
def client(served):
    with served.client() as client:
        yield client


def events(served):
    with open_store(served.results / STORE_FILE) as store:
        return store.events("scan-1", SHARED)


def audited(served):
    with open_store(served.results / STORE_FILE) as store:
        return store.audit_entries()


def alive(served):
    """The server answers its page and an observer."""
    with served.client() as client:
        assert client.get("/").status_code == 200
        assert client.get("/api/scan", params={"scan": "scan-1"}).status_code == 200
    return True


def raw(served, content, wait=10):
    """Send bytes, return everything that comes back."""
    with closing(socket.create_connection(("127.0.0.1", served.port), timeout=wait)) as connection:
        connection.sendall(content)
        parts = []
        try:
            while part := connection.recv(65536):
                parts.append(part)
        except ConnectionResetError:
            pass
    return b"".join(parts)


def head(served, *lines, method="GET", path="/api/start"):
    host = f"Host: 127.0.0.1:{served.port}"
    token = f"Authorization: Bearer {served.token()}"
    text = "\r\n".join([f"{method} {path} HTTP/1.1", host, token, "Connection: close", *lines, "", ""])
    return text.encode("latin-1")


def status(answer):
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer x", "Basic {token}", "bearer {token}", "Bearer {token}x", "Bearer {short}",
     "{token}"],
)  # fmt: skip
def test_nothing_is_told_without_the_token(served, authorization):
    """Whatever stands in its place, and wherever else it is put, the answer is 401."""
    token = served.token()
    headers = {"Cookie": f"token={token}"}
    if authorization is not None:
        headers["Authorization"] = authorization.format(token=token, short=token[:-1])
    with httpx.Client(base_url=served.base) as client:
        for path in (*READS, *DOWNLOADS):
            answer = client.get(path, params={**GOOD, "token": token}, headers=headers)
            assert (answer.status_code, set(answer.json())) == (401, {"error"}), path
        for path in WRITES:
            assert client.post(path, json=asked("scan-1", 0, label("1", 0)), headers=headers).status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", "",
                                  "127.0.0.1:{port}.evil.example", "evil.example:{port}"])  # fmt: skip
def test_another_host_is_refused(served, host):
    """A name that was bound to this address afterwards (DNS rebinding) reaches neither page nor scans."""
    for path in ("/", "/static/main.js", "/api/start"):
        request = head(served, path=path).replace(
            f"127.0.0.1:{served.port}".encode(), host.format(port=served.port).encode(), 1
        )
        assert status(raw(served, request)) in (400, 421)


def test_two_hosts_or_none_are_refused(served):
    """A proxy and a server must not see different hosts."""
    assert status(raw(served, head(served, "Host: evil.example"))) in (400, 421)
    assert status(raw(served, b"GET / HTTP/1.0\r\n\r\n")) in (400, 421)


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Origin": "null"},
                                     {"Origin": "http://127.0.0.1:1"}, {"Sec-Fetch-Site": "cross-site"},
                                     {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none"}])  # fmt: skip
def test_another_origin_changes_and_learns_nothing(served, client, headers):
    """Even with the token; and the refused write is written down."""
    before = events(served), len(audited(served))
    for path in READS:
        assert client.get(path, params=GOOD, headers=headers).status_code == 403
    content = asked("scan-1", len(before[0]), label("1", 0))
    assert client.post("/api/decide", json=content, headers=headers).status_code == 403
    assert events(served) == before[0]
    last = audited(served)[-1]
    assert len(audited(served)) == before[1] + 1
    assert last.observer == "anna"
    assert "403" in last.what


def test_its_own_page_may_ask(served, client):
    """What a browser sends for the page itself is let in."""
    own = {"Origin": served.base, "Sec-Fetch-Site": "same-origin"}
    assert client.get("/api/start", headers=own).status_code == 200


TRAVERSALS = (
    *("../../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "/etc/passwd"),
    *("..\\..\\windows\\win.ini", "file:///etc/passwd", "scan-1/../../private", "scan-1\x00.nii.gz", "~root", "*", ""),
    *("result-0", "../results/result-0", ".scans.jsonl", "decisions.sqlite", ".review-cache", "scan-1 ", "SCAN-1"),
    *("<script>alert(1)</script>", "' OR 1=1 --", "{{7*7}}", "\u202escan-1", "scan-1\n", "-1", "1e3", "٣", "NaN"),
    *("9" * 400, "0x1", "3.0", " 3"),
)  # fmt: skip


@pytest.mark.parametrize("value", TRAVERSALS, ids=range(len(TRAVERSALS)))
def test_no_parameter_opens_a_file(served, client, value):
    """A path in any parameter or address is no scan, slice, window or file: told so, and nothing else."""
    for path in (*READS[3:], *DOWNLOADS[1:2]):
        for name in GOOD if path in ("/api/slice",) else ("scan", "axis") if path == "/api/heart" else ("scan",):
            answer = client.get(path, params={**GOOD, name: value})
            assert answer.status_code == 404, (path, name)
            assert set(answer.json()) == {"error"}
            assert len(answer.text) < 80
    for name in ("scan", "lesion"):
        intent = label(value if name == "lesion" else "1", 0)
        answer = client.post("/api/decide", json=asked(value if name == "scan" else "scan-1", 0, intent))
        assert answer.status_code in (404, 422)
    if value and value.isprintable() and value.isascii():
        for start in ("/static/", "/api/export/", "/api/", "/"):
            target = f"{start}{value}".replace(" ", "%20").replace("\\", "%5c").replace("<", "%3c").replace(">", "%3e")
            answer = raw(served, head(served, path=target.replace("{", "%7b").replace("}", "%7d")))
            assert status(answer) in (400, 404, 405), target
            assert b"root:" not in answer


BODIES = (
    b"", b"{", b"null", b"[]", b'"x"', b"0", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"scan":' * 5000,
    b'{"scan": "scan-1", "seen": 1e999, "intent": {"kind": "label", "lesion": "1", "label": 1}}',
    b'{"scan": "scan-1", "seen": NaN, "intent": {"kind": "label", "lesion": "1", "label": 1}}',
    b'{"scan": "scan-1", "seen": -1, "intent": {"kind": "label", "lesion": "1", "label": 1}}',
    b'{"scan": "scan-1", "seen": 0, "intent": {"kind": "label", "lesion": "1", "label": 8}}',
    b'{"scan": "scan-1", "seen": 0, "intent": {"kind": "label", "lesion": "1", "label": true}}',
    b'{"scan": "scan-1", "seen": 0, "intent": {"kind": "label", "lesion": {"a": 1}, "label": 1}}',
    b'{"scan": "scan-1", "seen": 0, "intent": {"kind": "add", "voxel": [1, 2], "label": 1}}',
    b'{"scan": "scan-1", "seen": 0, "intent": {"kind": "add", "voxel": [99999999, 0, 0], "label": 1}}',
    b'{"scan": "scan-1", "seen": 0, "intent": {"kind": "add", "voxel": [1, 2, 3], "hu": [500], "label": 1}}',
    b'{"scan": "scan-1", "seen": 0, "intent": {"kind": "exclude", "lesion": "1", "positions": [-1]}}',
    b'{"scan": "scan-1", "seen": 0, "intent": {"kind": "exclude", "lesion": "1", "positions": [999999]}}',
    b'{"scan": "scan-1", "seen": 0, "intent": {"kind": "split plane", "lesion": "1", "first": [1e999, 0, 0],'
    b' "second": [0, 0, 0], "axis": "axial"}}',
    b'{"scan": "scan-1", "seen": 0, "intent": {"kind": "split plane", "lesion": "1", "first": [0, 0, 0],'
    b' "second": [0, 0, 0], "axis": "z"}}',
    b'{"scan": "scan-1", "seen": 0, "intent": {"kind": "note", "lesion": "1", "text": "\\u0000"}}',
    b'{"scan": "scan-1", "seen": 0, "intent": {"kind": "note", "lesion": "1", "text": "' + b"x" * 2001 + b'"}}',
    b'{"scan": "scan-1", "seen": 0, "intent": {"kind": "undo", "event": 99999999999999999999}}',
    b'{"scan": "scan-1", "seen": 0, "intent": {"kind": "undo", "event": 12345}}',
    b'{"scan": "scan-1", "seen": 0, "intent": {"kind": "label", "lesion": "1", "label": 1}, "observer": "ben"}',
    b'{"__proto__": {"scan": "scan-1"}}',
)  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_a_malformed_request_changes_nothing(served, client, body):
    """It is told which rule it breaks, in a few words that repeat nothing of it, and nothing is stored."""
    before = events(served)
    for path in WRITES:
        answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, answer.text
        assert len(answer.json()["error"]) < 500
    assert events(served) == before


def test_other_kinds_of_requests_are_refused(served, client):
    """Methods, media types and upgrades that no page uses."""
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "FOO"):
        assert status(raw(served, head(served, method=method))) in (400, 405)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        assert client.post("/api/decide", content=b"{}", headers={"Content-Type": kind}).status_code == 415
    assert client.post("/api/scan", json={}).status_code == 405
    assert client.get("/api/decide").status_code == 405
    assert client.post("/", json={}).status_code == 405
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA==")
    assert status(raw(served, head(served, *upgrade))) != 101
    assert status(raw(served, head(served, "Content-Length: 5") + b"hello")) == 400


def test_every_answer_is_sealed(served, client):
    """Page, script, picture, error: each has the policy, and none allows anything from elsewhere or inline."""
    answers = [client.get(p, params=GOOD) for p in ("/", "/static/main.js", "/nothing", *READS, *DOWNLOADS)]
    answers += [client.post("/api/decide", json={}), httpx.get(f"{served.base}/api/start")]
    for answer in answers:
        for name, value in HEADERS:
            assert answer.headers.get_list(name) == [value], answer.url
        assert answer.headers["cache-control"].startswith("private")
        assert "server" not in answer.headers
        assert "set-cookie" not in answer.headers
    policy = dict(HEADERS)["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    page = client.get("/").text
    for forbidden in ("style=", "onclick", "<style", "javascript:", "http://", "https://"):
        assert forbidden not in page
    assert served.token() not in page


def test_scripts_set_text_as_text():
    """No script of the page writes markup or evaluates text."""
    from calcscore_ml.review.assets import read_assets

    for name, asset in read_assets().items():
        for forbidden in (b"innerHTML", b"outerHTML", b"insertAdjacentHTML", b"document.write", b"eval(", b"Function("):
            assert forbidden not in asset.content, name


def refused_as_too_long(client, content):
    """Whether the server answers 413, or hangs up while the body is still being sent."""
    try:
        return (
            client.post("/api/decide", content=content, headers={"Content-Type": "application/json"}).status_code == 413
        )
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        return True


def test_a_huge_body_is_refused_before_it_is_read(served, client):
    """By its length when that is told, while it arrives when not; a body of the longest length is read."""
    before = served.memory_mb()
    assert status(raw(served, head(served, f"Content-Length: {10**12}", "Content-Type: application/json", method="POST",
                                   path="/api/decide"))) == 413  # fmt: skip
    for length in ("-5", "1e3", "0x10", "9" * 30):
        request = head(
            served, f"Content-Length: {length}", "Content-Type: application/json", method="POST", path="/api/decide"
        )
        assert status(raw(served, request)) in (400, 413)
    for _ in range(20):
        assert refused_as_too_long(client, (b"x" * 65536 for _ in range(4 * BODY_MOST // 65536)))
    assert refused_as_too_long(client, b" " * (BODY_MOST - 1) + b"{}")
    headers = {"Content-Type": "application/json"}
    assert client.post("/api/decide", content=b" " * (BODY_MOST - 2) + b"{}", headers=headers).status_code == 422
    assert served.memory_mb() - before < MEMORY_MB
    assert alive(served)


@pytest.mark.parametrize("lines", [["X: " + "y" * 10**6], [f"X-{i}: y" for i in range(20_000)], ["X: " + "y" * 10**7]])
def test_huge_headers_are_refused(served, lines):
    """One long or many short ones: the connection is answered 400 or closed."""
    before = served.memory_mb()
    try:
        answer = raw(served, head(served, *lines))
    except (BrokenPipeError, ConnectionResetError):
        answer = b""
    assert not answer or status(answer) == 400
    assert served.memory_mb() - before < MEMORY_MB
    assert alive(served)


def test_a_long_address_is_refused(served, client):
    """Nobody needs four thousand characters."""
    assert client.get("/api/scan", params={"scan": "x" * 4000}).status_code == 414


def test_half_open_connections_do_not_shut_the_expert_out(served):
    """More of them than there may be connections, each with half a request: the page answers, they are closed."""
    before = served.memory_mb()
    half = [socket.create_connection(("127.0.0.1", served.port), timeout=30) for _ in range(CONNECTIONS_MOST + 100)]
    try:
        for i, connection in enumerate(half):
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(
                    (b"", b"GET", head(served)[:-2], head(served, "Content-Length: 9", method="POST"))[i % 4]
                )
        assert alive(served)
        for connection in half[-40:]:
            connection.settimeout(4 * REQUEST_S + 20)
            try:
                while connection.recv(4096):
                    pass
            except ConnectionResetError:
                pass
    finally:
        for connection in half:
            connection.close()
    assert served.memory_mb() - before < MEMORY_MB
    assert alive(served)


def test_ten_thousand_requests_at_once_leave_the_server_alive(served):
    """Each is answered, told to come again (503) or turned away; memory stays bounded; then all is as before."""
    before, counts = served.memory_mb(), {}
    good, bad = head(served, path="/api/scan?scan=scan-1"), head(served).replace(b"Bearer ", b"Bearer x")
    picture = [head(served, path=f"/api/slice?scan=scan-1&axis=coronal&index={i}") for i in range(80)]

    async def one(i):
        try:
            async with asyncio.timeout(60):
                reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
                writer.write((good, bad, picture[i % 80])[i % 3])
                answer = await reader.read()
                writer.close()
                outcome = status(answer) if answer else "closed"
        except (OSError, TimeoutError):
            outcome = "turned away"
        counts[outcome] = counts.get(outcome, 0) + 1

    async def flood():
        await asyncio.gather(*(one(i) for i in range(FLOOD)))

    asyncio.run(flood())
    grown = served.memory_mb() - before
    print(counts, f"{grown:.0f} MB")
    assert sum(counts.values()) == FLOOD
    assert counts[200] > 100
    assert counts[401] > 100
    assert set(counts) <= {200, 401, 503, "closed", "turned away"}
    assert grown < MEMORY_MB
    assert alive(served)


def test_a_flood_of_refused_writes_does_not_fill_the_disk(served):
    """A minute's worth is listed one by one, the others are counted."""
    before = len(audited(served))
    with httpx.Client(base_url=served.base) as client:
        for _ in range(150):
            assert client.post("/api/decide", json={}).status_code == 401
    assert len(audited(served)) - before <= 2 * LISTED_MOST  # a new minute may begin meanwhile


def test_the_server_writes_neither_tokens_nor_paths_anywhere(served):
    """After all that, its output and its store hold no token, and no path of a scan."""
    text = served.log.read_text() + json.dumps([[e.what, e.detail, e.observer] for e in audited(served)])
    for secret in (served.token(), served.token("ben"), "Doe"):
        assert secret not in text


def test_what_happens_to_scripts_in_names_and_notes(tmp_path):
    """A scan's id and a note may be markup: they are kept and told as they are, as JSON, and never as a page."""
    shutil.rmtree(tmp_path / "results", ignore_errors=True)
    name = '<img src=x onerror="alert(1)">/../"\'&'
    with Served(made_results(tmp_path, scans=1, names=[name])) as server, server.client() as client:
        told = client.get("/api/scan", params={"scan": name})
        assert told.headers["content-type"] == "application/json"
        assert told.json()["scan"] == name
        note = {"kind": "note", "lesion": None, "text": "<script>alert(1)</script>"}
        answer = client.post("/api/decide", json=asked(name, 0, note))
        assert answer.json()["scan"]["note"] == note["text"]
        assert client.get("/api/slice", params={**GOOD, "scan": name}).headers["content-type"] == "image/png"
        assert client.get("/api/export/labels.nii.gz", params={"scan": name}).status_code == 200
