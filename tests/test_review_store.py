"""Laws of the store, on SQLite and on a real PostgreSQL."""

import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
import traceback
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from made_readings import made_result
from store_writer import TOTALS, add, only_open, open_as_nobody, processes, write

from calcscore_ml.errors import CalcscoreError, ReviewError, StoreError
from calcscore_ml.review.decision import decide
from calcscore_ml.review.engines import settle_file
from calcscore_ml.review.events import AddLesion, ExcludeVoxels, LabelLesion, Note, SplitLesion, Undo
from calcscore_ml.review.state import replay, start
from calcscore_ml.review.store import STORE_FILE, VersionConflict, open_store

TABLES = ("calcscore_events", "calcscore_audit", "calcscore_schema")
SECRET = "s3cret-w0rd"
EVENTS = (
    LabelLesion(lesion="12", label=3),
    SplitLesion(lesion="12", parts=((0, 2), (1,))),
    ExcludeVoxels(lesion="12.1", positions=(1,)),
    AddLesion(voxels=((1, 2, 3), (1, 2, 4)), hu=(200, -5), label=1),
    Note(text="=SUM(A1)\n'\"; DROP TABLE calcscore_events; --\tü 心"),
    Undo(event=1),
)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """An address where there is no store yet, of each engine."""
    if request.param == "sqlite":
        return str(tmp_path / STORE_FILE)
    return request.getfixturevalue("postgresql").new_database()


def run_sql(url, statement):
    """Run SQL as any other program would, without our code."""
    if "://" not in url:
        with closing(sqlite3.connect(url)) as connection, connection:
            return connection.execute(statement).fetchall()
    import psycopg

    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def said(error):
    """Everything a user or a log could see of an error."""
    return "".join(traceback.format_exception(error)) + repr(error)


def test_what_is_added_is_there_after_opening_again(url):
    """Every kind of event comes back equal, in order, by stream, with its numbers and its time in UTC."""
    began = datetime.now(UTC)
    with open_store(url) as store:
        first = [
            store.append("scan-1", "shared", i, "anna", e, "12", None, 3, "f" * 64, TOTALS, TOTALS)
            for i, e in enumerate(EVENTS)
        ]
        other = [add(store, 0, "ben", 1, scan_id='<b>scan"2', reading="ben"), add(store, 0, "ben", 2, reading="ben")]
        assert store.events("scan-1", "shared") == tuple(first)
    with open_store(url) as store:
        assert store.events("scan-1", "shared") == tuple(first)
        assert [e.version for e in first] == [1, 2, 3, 4, 5, 6]
        assert [e.event for e in first] == list(EVENTS)
        assert store.all_events() == (other[0], other[1], *first)
        assert store.readings() == ("ben", "shared")
        assert store.versions("shared") == {"scan-1": 6}
        assert store.versions("ben") == {"scan-1": 1, '<b>scan"2': 1}
        assert store.versions("nobody") == {}
        assert store.events("scan-3", "shared") == store.events("scan-1", "anna") == ()
        assert len({e.id for e in store.all_events()}) == 8
    for stored in first:
        assert stored.at.utcoffset() == timedelta(0)
        assert began <= stored.at <= datetime.now(UTC)
        assert (stored.before, stored.after, stored.new_label, stored.old_label) == (TOTALS, TOTALS, 3, None)


def test_a_decision_on_an_old_version_is_refused_with_what_was_missed(url):
    """Nothing is added, whether the caller had seen too little or what is not there; other streams do not count."""
    with open_store(url) as store:
        stored = [add(store, i, "anna" if i else "ben", i + 1) for i in range(3)]
        for seen in range(3):
            with pytest.raises(VersionConflict, match=f"made on {seen} of 3 .*by: anna") as conflict:
                add(store, seen, "carol", 9)
            assert conflict.value.missed == tuple(stored[seen:])
        with pytest.raises(VersionConflict, match="made on 7 of 3") as conflict:
            add(store, 7, "carol", 9)
        assert conflict.value.missed == ()
        assert store.events("scan-1", "shared") == tuple(stored)
        add(store, 0, "carol", 9, reading="carol")
        add(store, 0, "carol", 9, scan_id="scan-2")


def test_the_database_itself_refuses_changes(url):
    """UPDATE, DELETE, TRUNCATE and REPLACE fail from any program, and a version is never taken twice."""
    with open_store(url) as store:
        kept = [add(store, i, "anna", i + 1) for i in range(2)]
        store.audit("anna", "export")
        statements = [f"DELETE FROM {t}" for t in TABLES]
        statements += [
            f"UPDATE {t} SET {c}" for t, c in zip(TABLES, ("observer='x'", "what='x'", "version=2"), strict=True)
        ]
        columns = "scan_id, reading, version, observer, at, kind, event, model_sha256, " + ", ".join(
            f"{n}_{w}" for w in ("before", "after") for n in ("agatston", "lowest", "highest", "category")
        )
        values = f"SELECT {columns} FROM calcscore_events WHERE version = 1"
        statements.append(f"INSERT INTO calcscore_events ({columns}) {values}")
        if "://" in url:
            statements += [f"TRUNCATE {t}" for t in TABLES]
        else:
            statements.append(f"INSERT OR REPLACE INTO calcscore_events ({columns}) {values}")
            other = columns.replace("scan_id", "'scan-2'")
            statements.append(
                f"INSERT OR REPLACE INTO calcscore_events (id, {columns}) SELECT 1, {other} FROM calcscore_events"
            )
        for statement in statements:
            with pytest.raises(Exception, match=r"added, never|duplicate key|UNIQUE"):
                run_sql(url, statement)
        assert store.events("scan-1", "shared") == tuple(kept)
        assert len(store.audit_entries()) == 1


@pytest.mark.parametrize("field", ["observer", "reading", "scan_id"])
def test_names_are_checked(tmp_path, field):
    """Observers and readings have plain names, scans any but NUL; nothing is added otherwise."""
    with open_store(tmp_path / STORE_FILE) as store:
        for name in ("", "a b", "a/b", "x" * 41, "anna\n", "é"):
            named = {"observer": "anna", "reading": "shared", "scan_id": "scan-1", "seen": 0, "number": 1}
            if field == "scan_id" and name:
                name = "scan\x00"
            with pytest.raises(ReviewError, match="name"):
                add(store, **{**named, field: name})
        assert store.all_events() == ()


def test_anything_can_be_recorded(url):
    """An audit entry takes any text there is, in order, and nobody can take it back."""
    texts = ["", "plain", "NUL \x00 in it", "half a pair \ud800", "x" * 5000, "'; DROP TABLE calcscore_audit; --"]
    with open_store(url) as store:
        for text in texts:
            store.audit(text, text, text, text)
        entries = store.audit_entries()
    assert [e.id for e in entries] == sorted(e.id for e in entries)
    assert [e.detail for e in entries] == ["", "plain", "NUL \ufffd in it", "half a pair ?", "x" * 2000, texts[-1]]
    assert all(e.observer == e.what == e.scan_id == e.detail for e in entries)
    assert all(e.at.utcoffset() == timedelta(0) for e in entries)


def test_two_processes_take_every_version_once(url):
    """Two observers race on one scan: every version is taken once, each loser is told what it had not seen."""
    context = processes()
    gate, count = context.Barrier(2, timeout=60), 40
    ends = [context.Pipe(duplex=False) for _ in "ab"]
    writers = [
        context.Process(target=write, args=(url, name, count, end[1], gate))
        for name, end in zip(("anna", "ben"), ends, strict=True)
    ]
    for writer, (_, sender) in zip(writers, ends, strict=True):
        writer.start()
        sender.close()
    told = [list(everything(end[0])) for end in ends]
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    with open_store(url) as store:
        events = store.events("scan-1", "shared")
    assert [e.version for e in events] == list(range(1, 2 * count + 1))
    conflicts = 0
    for name, messages in zip(("anna", "ben"), told, strict=True):
        mine = [(e.id, e.version, int(e.lesion)) for e in events if e.observer == name]
        assert [m[1:] for m in messages if m[0] == "stored"] == mine
        assert [number for *_, number in mine] == list(range(1, count + 1))
        for message in messages:
            if message[0] == "missed":
                _, seen, missed = message
                assert missed == list(range(seen + 1, seen + 1 + len(missed)))
                assert missed
                assert all(e.observer != name for e in events if e.version in missed)
                conflicts += 1
    assert conflicts, "the two never met: the race was none"


def everything(end):
    """What a process tells until it ends, however it does."""
    while True:
        try:
            yield end.recv()
        except EOFError:
            return


def test_what_was_confirmed_survives_kill_9(url):
    """A writer killed twenty times at random moments: every decision it confirmed is there, and none half."""
    context, rng = processes(), np.random.default_rng(5)
    confirmed, kills, extra = {}, 20, 0
    for _ in range(kills):
        receiver, sender = context.Pipe(duplex=False)
        writer = context.Process(target=write, args=(url, "anna", 10**6, sender))
        writer.start()
        sender.close()
        wanted = int(rng.integers(0, 21))
        messages = everything(receiver)
        for _ in range(wanted):
            kind, number, *rest = next(messages)
            assert kind == "stored"
            confirmed[number] = rest
        os.kill(writer.pid, signal.SIGKILL)
        for kind, number, *rest in messages:  # confirmed between our last look and its death
            assert kind == "stored"
            confirmed[number] = rest
        writer.join()
        assert writer.exitcode == -signal.SIGKILL
        with open_store(url) as store:
            events = store.events("scan-1", "shared")
        assert {e.id: [e.version, int(e.lesion)] for e in events}.items() >= confirmed.items()
        assert [e.version for e in events] == list(range(1, len(events) + 1))
        extra = len(events) - len(confirmed)
    assert len(confirmed) >= 150
    assert extra <= kills


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_store_is_made_once(engine, tmp_path, request):
    """Processes that open the same new place at the same moment all get the one store, time and again."""
    context, count = processes(), 6
    for turn in range(5):
        server = request.getfixturevalue("postgresql") if engine == "postgresql" else None
        place = server.new_database() if server else str(tmp_path / f"{turn}.sqlite")
        gate = context.Barrier(count, timeout=60)
        ends = [context.Pipe(duplex=False) for _ in range(count)]
        openers = [context.Process(target=only_open, args=(place, end[1], gate)) for end in ends]
        for opener, (_, sender) in zip(openers, ends, strict=True):
            opener.start()
            sender.close()
        told = [list(everything(receiver)) for receiver, _ in ends]
        for opener in openers:
            opener.join()
        assert [len(t) for t in told] == [1] * count
        assert run_sql(place, "SELECT version FROM calcscore_schema") == [(1,)]


def test_who_is_turned_away_while_opening_asks_again(tmp_path, monkeypatch):
    """A writer who comes between the making of a store and its write-ahead log is waited for, not an error."""
    place, turned_away = tmp_path / STORE_FILE, []
    with closing(sqlite3.connect(place, isolation_level=None)) as writer:

        def settle(*arguments):
            writer.execute("BEGIN IMMEDIATE")
            settle_file(*arguments)

        def wait(_):
            turned_away.append(True)
            writer.execute("ROLLBACK")

        monkeypatch.setattr("calcscore_ml.review.store.settle_file", settle)
        monkeypatch.setattr("calcscore_ml.review.engines.time.sleep", wait)
        open_store(place).close()
    assert turned_away == [True]
    assert run_sql(str(place), "PRAGMA journal_mode") == [("wal",)]


def test_threads_share_a_store(url):
    """Eight threads add to streams of their own and all read; nothing is lost, nobody is turned away."""
    failures = []
    with open_store(url) as store:

        def work(name):
            try:
                for number in range(12):
                    add(store, number, name, number + 1, scan_id=name)
                    assert len(store.events(name, "shared")) == number + 1
            except (CalcscoreError, AssertionError) as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(f"t{i}",)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert len(store.all_events()) == 8 * 12


def test_sqlite_waits_for_the_disk(tmp_path):
    """A commit is flushed before it is confirmed: a write-ahead log, synchronous FULL; and writers wait for others."""
    with open_store(tmp_path / STORE_FILE) as store:
        with store._engine.connect() as connection:
            found = {
                p: connection.exec_driver_sql(f"PRAGMA {p}").scalar()
                for p in ("journal_mode", "synchronous", "busy_timeout")
            }
        assert found == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 30000}


def test_a_lost_connection_is_made_again(postgresql):
    """After the server has dropped every connection, the next decision is stored."""
    import psycopg

    with open_store(postgresql.new_database()) as store:
        add(store, 0, "anna", 1)
        with psycopg.connect(postgresql.url(), autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'reviews_%'")
        add(store, 1, "anna", 2)
        assert len(store.events("scan-1", "shared")) == 2


def test_a_damaged_or_foreign_file_is_refused_and_left_alone(tmp_path):
    """Other bytes, a cut or overwritten store, another program's database, a newer store: told apart, not touched."""
    good = tmp_path / "good.sqlite"
    with open_store(good) as store:
        for i in range(200):
            add(store, i, "anna", i + 1)
    whole = good.read_bytes()
    other = tmp_path / "other.sqlite"
    run_sql(str(other), "CREATE TABLE patients (name TEXT)")
    newer = tmp_path / "newer.sqlite"
    run_sql(str(newer), "CREATE TABLE calcscore_schema (version INTEGER)")
    run_sql(str(newer), "INSERT INTO calcscore_schema VALUES (2)")
    partial = tmp_path / "partial.sqlite"
    run_sql(str(partial), "CREATE TABLE calcscore_schema (version INTEGER)")
    run_sql(str(partial), "INSERT INTO calcscore_schema VALUES (1)")
    middle = len(whole) // 2 // 4096 * 4096
    cases = {
        "text": (b"scan_id,label\n" * 1000, "not a database.*restore a backup"),
        "cut": (whole[: middle + 100], "malformed.*restore a backup"),
        "overwritten": (whole[:4096] + b"\x55" * (len(whole) - 4096), "malformed.*restore a backup"),
        "one page": (whole[:middle] + b"\x55" * 4096 + whole[middle + 4096 :], "malformed.*restore a backup"),
        "other": (
            other.read_bytes(),
            "must be empty or made by calcscore review, got tables patients .*choose another",
        ),
        "newer": (newer.read_bytes(), "must be of schema version 1, got 2 .*update calcscore-ml"),
        "partial": (partial.read_bytes(), "all its tables, calcscore_audit, calcscore_events missing"),
    }
    for name, (content, message) in cases.items():
        file = tmp_path / f"{name}-copy.sqlite"
        file.write_bytes(content)
        with pytest.raises(StoreError, match=message) as error:
            open_store(file)
        assert file.name in str(error.value)
        assert file.read_bytes() == content, name


def test_a_newer_or_half_schema_is_refused_by_the_server_too(postgresql):
    """In PostgreSQL other tables may lie beside ours, but ours must be all there and of this version."""
    beside = postgresql.new_database()
    run_sql(beside, "CREATE TABLE patients (name TEXT)")
    open_store(beside).close()
    newer = postgresql.new_database()
    run_sql(newer, "CREATE TABLE calcscore_schema (version INTEGER)")
    run_sql(newer, "INSERT INTO calcscore_schema VALUES (2)")
    with pytest.raises(StoreError, match="must be of schema version 1, got 2 in PostgreSQL at 127"):
        open_store(newer)
    half = postgresql.new_database()
    run_sql(half, "CREATE TABLE calcscore_audit (id INTEGER)")
    with pytest.raises(StoreError, match="must be empty or made by calcscore review"):
        open_store(half)


def test_a_place_that_cannot_hold_a_store_is_told(tmp_path):
    """A missing folder, a folder in the file's place, and a file as a folder: what came, where, what to do."""
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "none" / STORE_FILE, tmp_path, tmp_path / "file" / STORE_FILE):
        with pytest.raises(
            StoreError, match=r"kept safely, got 'unable to open database file' from .*must be there"
        ) as error:
            open_store(place)
        assert str(place) in str(error.value)


def test_a_folder_that_may_not_be_written_is_told():
    """Whoever may not write gets a clear error, for a new store and for one that is there."""
    folder = Path(tempfile.mkdtemp(prefix="calcscore-store-"))  # pytest's own lets nobody else in
    places = [folder / "there.sqlite", folder / "new.sqlite"]
    try:
        open_store(places[0]).close()
        for path in folder.iterdir():
            path.chmod(0o444)
        folder.chmod(0o555)
        context = processes()
        receiver, sender = context.Pipe(duplex=False)
        opener = context.Process(target=open_as_nobody, args=(places, sender))
        opener.start()
        sender.close()
        told = list(everything(receiver))
        opener.join()
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
    assert len(told) == 2
    for place, text in zip(places, told, strict=True):
        assert str(place) in text
        assert "kept safely" in text
        assert "be writable" in text


def test_a_server_that_cannot_be_used_is_told_without_its_password(postgresql):
    """Nobody there, a wrong password, no such database, a wrong option: host and user are named, the password never."""
    port = postgresql.port
    cases = [
        (f"postgresql://anna:{SECRET}@127.0.0.1:1/reviews", "127.0.0.1:1, database reviews, user anna"),
        (f"postgresql+psycopg://anna:{SECRET}@127.0.0.1:{port}/reviews", f"127.0.0.1:{port}"),
        (f"postgresql://anna@127.0.0.1:{port}/reviews?password={SECRET}", "password authentication failed"),
        (f"postgresql://127.0.0.1:{port}/reviews?{SECRET}=1", "does not take"),
        (f"postgresql://anna:{SECRET}@no-such-host.invalid/reviews", "no-such-host.invalid:5432"),
        (f"postgresql://anna:{SECRET}/x?y#z@127.0.0.1:1/reviews", "127.0.0.1:1, database reviews"),
        (f"postgresql://anna:12/{SECRET}@127.0.0.1:1/reviews", "127.0.0.1:1, database reviews"),
    ]
    for url, message in cases:
        with pytest.raises(
            StoreError, match=r"decisions must be kept safely, got .* start the server, or check"
        ) as error:
            open_store(url)
        assert message in str(error.value)
        assert SECRET not in said(error.value)
    missing = postgresql.url("no_such_database")
    with pytest.raises(StoreError, match='"no_such_database" does not exist') as error:
        open_store(missing)
    assert postgresql.password not in said(error.value)
    with open_store(postgresql.new_database()) as store:
        assert postgresql.password not in f"{store!r} {store.where} {store._place!r} {store._engine!r}"


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://anna:{SECRET}@host/reviews",
        f"postgresql+psycopg2://anna:{SECRET}@host/reviews",
        f"postgresql://anna:{SECRET}@host:port/reviews",
        f"postgresql://anna:{SECRET}",
        f"postgresql://anna:with-an-@{SECRET}@host/reviews",
        f"://{SECRET}",
        "sqlite://",
        "sqlite:///:memory:",
        f"sqlite:///{SECRET}?mode=ro",
    ],
)
def test_an_address_that_is_none_is_refused_without_repeating_it(url):
    """Other engines, memory, and passwords that break an address: what may be given is said, what was given is not."""
    with pytest.raises(StoreError, match="must be a file, sqlite:///FILE or postgresql://") as error:
        open_store(url)
    assert SECRET not in said(error.value)


def test_a_file_can_be_named_three_ways(tmp_path):
    """A path, its text, and an address are the same store."""
    file = tmp_path / "a name with %20 and ü.sqlite"
    with open_store(file) as store:
        add(store, 0, "anna", 1)
    for name in (str(file), f"sqlite:///{quote(str(file))}"):
        with open_store(name) as store:
            assert len(store.all_events()) == 1


def test_a_missing_driver_is_named(monkeypatch):
    """Without psycopg, the extra to install is said."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"pip install 'calcscore-ml\[postgres\]'") as error:
        open_store(f"postgresql://anna:{SECRET}@host/reviews")
    assert SECRET not in said(error.value)


def test_deciding_stores_what_an_auditor_asks(url):
    """A decision is stored with labels and numbers before and after; one that does not fit, or comes late, is not."""
    with open_store(url) as store:
        fresh = start(*made_result(0))
        first = fresh.lesions[0]
        n = len(first.rows)
        events = [
            LabelLesion(lesion="1", label=0),
            SplitLesion(lesion="1", parts=((0,), tuple(range(1, n)))),
            LabelLesion(lesion="1.2", label=2),
            Note(text="done"),
        ]
        reading = fresh
        for event in events:
            stored, now = decide(store, reading, "shared", "anna", event)
            assert (stored.before, stored.after) == (reading.totals, now.totals)
            assert stored.model_sha256 == reading.result.provenance.model["model_sha256"]
            reading = now
        _, reading = decide(store, reading, "shared", "ben", Undo(event=store.events("scan-1", "shared")[2].id))
        kept = store.events("scan-1", "shared")
        assert [(e.lesion, e.old_label, e.new_label) for e in kept] == [
            ("1", int(first.label), 0), ("1", 0, None), ("1.2", 0, 2), (None, None, None), ("1.2", 2, 0),
        ]  # fmt: skip
        assert replay(*made_result(0), kept).totals == reading.totals == kept[-1].after
        with pytest.raises(VersionConflict) as conflict:
            decide(store, fresh, "shared", "ben", LabelLesion(lesion="1", label=1))
        assert conflict.value.missed == kept
        with pytest.raises(ReviewError, match="does not list"):
            decide(store, reading, "shared", "ben", LabelLesion(lesion="99", label=1))
        with pytest.raises(ReviewError, match="one on 'shared' for 'ben'"):
            decide(store, reading, "ben", "ben", LabelLesion(lesion="2", label=1))
        assert store.events("scan-1", "ben") == ()
        assert store.events("scan-1", "shared") == kept
