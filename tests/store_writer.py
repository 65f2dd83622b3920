"""Observers in processes of their own, who add to a store until they are done or killed."""

import multiprocessing
import os
import tempfile
from pathlib import Path

from calcscore_ml.errors import StoreError
from calcscore_ml.review.events import LabelLesion
from calcscore_ml.review.state import Totals
from calcscore_ml.review.store import VersionConflict, open_store

TOTALS = Totals(12.5, 10.0, 20.25, "11-100")


def processes():
    """Where clean processes come from, quickly: none inherits the tests' threads or connections."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["calcscore_ml.review.store"])
    return context


def add(store, seen, observer, number, scan_id="scan-1", reading="shared"):
    """Append a decision that can be told by its number."""
    event = LabelLesion(lesion=str(number), label=number % 8)
    return store.append(scan_id, reading, seen, observer, event, str(number), 0, number % 8, "f" * 64, TOTALS, TOTALS)


def write(url, observer, count, told, gate=None):
    """Add `count` decisions, taking turns with whoever else adds; tell each that was confirmed, and each conflict."""
    with open_store(url) as store:
        if gate is not None:
            gate.wait()
        seen = len(store.events("scan-1", "shared"))
        for number in range(1, count + 1):
            while True:
                try:
                    stored = add(store, seen, observer, number)
                except VersionConflict as conflict:
                    told.send(("missed", seen, [e.version for e in conflict.missed]))
                    seen += len(conflict.missed)
                    continue
                seen = stored.version
                told.send(("stored", stored.id, stored.version, number))
                break
    told.send(("done",))


def only_open(url, told, gate):
    """Open a store the moment others do."""
    gate.wait()
    with open_store(url) as store:
        told.send(store.where)


def open_as_nobody(places, told):
    """Try to open stores as a user who may not write there."""
    with tempfile.TemporaryDirectory() as folder:
        open_store(Path(folder) / "warm.sqlite").close()  # everything is imported before the rights are gone
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    for place in places:
        try:
            open_store(place).close()
            told.send("opened")
        except StoreError as error:
            told.send(str(error))
