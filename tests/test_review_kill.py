"""A decision that was confirmed outlives the server, however it ends."""

import json
import random
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from os import kill
from pathlib import Path
from signal import SIGKILL

import httpx
from made_reviews import asked, label, made_results

from calcscore_ml.review.store import STORE_FILE, open_store

DECISIONS, KILLS = 200, 20


@contextmanager
def launcher(results):
    """Yields a function that starts a server and returns its process id and a client; the last one is killed."""
    command = [sys.executable, str(Path(__file__).with_name("review_launcher.py")), str(results)]
    pids = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def start():
            process.stdin.write("0\n")
            process.stdin.flush()
            told = json.loads(process.stdout.readline())
            pids.append(told["pid"])
            headers = {"Authorization": f"Bearer {told['token']}"}
            return told["pid"], httpx.Client(base_url=told["base"], headers=headers, timeout=20)

        try:
            yield start
        finally:
            process.stdin.close()
            end(pids[-1])


def end(pid):
    """Kill a server, unless it has gone already because the test failed."""
    with suppress(ProcessLookupError):
        kill(pid, SIGKILL)


def kept_decisions(results):
    """What is in the store, looked at from another process."""
    with open_store(results / STORE_FILE) as store:
        return {e.id: (e.lesion, int(e.event.label)) for e in store.events("scan-1", "shared")}


def test_killing_the_server_loses_nothing_that_was_confirmed(tmp_path):
    """SIGKILL at random moments, twenty times during two hundred decisions: every confirmed one is there, once."""
    results = made_results(tmp_path, scans=1)
    chance = random.Random(4)
    confirmed, kills = {}, 0
    with launcher(results) as start:
        while len(confirmed) < DECISIONS or kills < KILLS:
            pid, client = start()
            with client:
                told = client.get("/api/scan", params={"scan": "scan-1"}).json()
                kept = kept_decisions(results)
                assert confirmed.items() <= kept.items()
                assert told["version"] == len(kept)
                assert {e["id"] for e in told["history"]} <= kept.keys()
                keys, seen = [n["key"] for n in told["lesions"]], told["version"]
                last = len(confirmed) + 2 * DECISIONS // KILLS
                timer = threading.Timer(chance.uniform(0.0, 1.0), end, (pid,))
                timer.start()
                try:
                    while len(confirmed) < last:
                        key, number = chance.choice(keys), chance.randrange(8)
                        answer = client.post("/api/decide", json=asked("scan-1", seen, label(key, number)))
                        assert answer.status_code == 200, answer.text
                        confirmed[answer.json()["decision"]["id"]] = (key, number)
                        seen += 1
                except httpx.TransportError:
                    pass  # it was killed
                timer.join()
                kills += 1
    kept = kept_decisions(results)
    assert confirmed.items() <= kept.items()
    assert len(kept) - len(confirmed) <= kills  # at most one for each kill was stored and not confirmed
