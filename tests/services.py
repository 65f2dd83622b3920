"""Programs beside Python that some tests need: started for a session of tests, stopped at its end."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

REQUIRED = os.environ.get("CALCSCORE_REQUIRE_SERVICES") == "1"
"""Whether a missing program fails the tests, as it does in continuous integration, or skips them."""

BINARIES = Path("/usr/lib/postgresql")
"""Where Debian keeps PostgreSQL's programs, by version."""

SUPERUSER = "calcscore"


def missing(what):
    """Skip, or fail where services are required."""
    text = f"{what} is not installed; run: make services"
    if REQUIRED:
        pytest.fail(f"CALCSCORE_REQUIRE_SERVICES=1, but {text}")
    pytest.skip(text)


class PostgreSQL:
    """A running server of its own, in a temporary folder, on a free port of the loopback."""

    def __init__(self, binaries):
        self.binaries = binaries
        self.password = f"pw-{secrets.token_hex(8)}"
        # Not pytest's folder: only its owner may enter that one, and PostgreSQL does not run as root.
        self.folder = Path(tempfile.mkdtemp(prefix="calcscore-postgresql-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.user = {}
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self.user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}

    def _run(self, program, *arguments):
        done = subprocess.run(
            [self.binaries / program, *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
            **self.user,
        )
        assert done.returncode == 0, done.stdout

    def start(self):
        secret = self.folder / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)
        self._run(
            "initdb", "-D", self.folder / "cluster", "-U", SUPERUSER, "-A", "scram-sha-256", "--pwfile", secret,
            "-E", "UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip
        settings = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run(
            "pg_ctl", "-D", self.folder / "cluster", "-l", self.folder / "log", "-o", settings, "-w", "start"
        )  # fmt: skip

    def stop(self):
        self._run("pg_ctl", "-D", self.folder / "cluster", "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database="postgres", driver="postgresql"):
        return f"{driver}://{SUPERUSER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def new_database(self):
        """The address of an empty database."""
        import psycopg

        name = f"reviews_{secrets.token_hex(4)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)


@pytest.fixture(scope="session")
def postgresql():
    """A real PostgreSQL server."""
    versions = sorted(BINARIES.glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if not versions:
        missing("PostgreSQL")
    server = PostgreSQL(versions[-1].parent)
    server.start()
    yield server
    server.stop()
