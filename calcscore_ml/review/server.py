"""Serving a review: one process, one socket, one address for each observer."""

from __future__ import annotations

import ipaddress
import logging
import secrets
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from calcscore_ml.errors import ReviewError
from calcscore_ml.io import read_scan
from calcscore_ml.manifest import read_manifest
from calcscore_ml.review.app import Review, make_app
from calcscore_ml.review.connections import HEAD_MOST, BoundedProtocol
from calcscore_ml.review.desk import Case, Desk, Mode, open_results
from calcscore_ml.review.queue import order_lesions
from calcscore_ml.review.security import Door
from calcscore_ml.review.store import STORE_FILE, open_store
from calcscore_ml.review.trail import Trail
from calcscore_ml.review.volumes import CACHE_FOLDER, Volumes, Wanted
from calcscore_ml.sources import Source, read_sources

TOKEN_BYTES = 24
"""Of an observer's token: 192 random bits."""

KEEP_ALIVE_S = 15
"""How long a page's connection may wait for its next request [s]."""

GRACE_S = 3
"""How long answers may still be given when the server is stopped [s]."""

BACKLOG = 512
"""Connections that may wait to be taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """A review, opened and ready to be served.

    Parameters
    ----------
    review : Review
        What is answered from.
    order : tuple of str
        Scans in the order an expert will see them.
    addresses : dict of str to str
        Address of each observer, with the token.
    listener : socket
        Bound, not listening yet.
    door : Door
        Who is let in.
    """

    review: Review
    order: tuple[str, ...]
    addresses: dict[str, str]
    listener: socket.socket
    door: Door


def open_review(
    results: Path,
    *,
    observers: Sequence[str],
    mode: Mode = "shared",
    store: str | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    scans: Sequence[Path] = (),
    allow_network: bool = False,
) -> Setting:
    """Open results, store and socket, and get the first scan ready.

    Parameters
    ----------
    results : Path
        Folder that `calcscore score` wrote.
    observers : sequence of str
        Who may decide.
    mode : {'shared', 'blinded', 'consensus'}
        Whether they share a reading.
    store : str or None
        URL of the store; a file in `results` when not given.
    host, port : str, int
        Where to listen; port 0: any that is free.
    scans : sequence of Path
        Manifests, or scans, that say where the scans of the results lie, for those that moved.
    allow_network : bool
        Whether `host` may be another than this machine's own.

    Raises
    ------
    CalcscoreError
        When something cannot be opened.
    """
    check_host(host, allow_network=allow_network)
    cases, failed = open_results(results)
    sources = {**read_sources(results), **find_sources(scans, cases)}
    desk = Desk(cases, open_store(store or results / STORE_FILE), mode, tuple(observers))
    wanted = {
        scan_id: Wanted(case.result.geometry, case.result.provenance.scan_sha256, sources.get(scan_id))
        for scan_id, case in cases.items()
    }
    volumes = Volumes(wanted, results / CACHE_FOLDER)
    readings = desk.readings(desk.reading_of(desk.observers[0]))
    order = tuple(dict.fromkeys([item.scan_id for item in order_lesions(readings.values())] + list(cases)))
    listener = _bind(host, port)
    bound = listener.getsockname()[1]
    tokens = {name: secrets.token_urlsafe(TOKEN_BYTES) for name in observers}
    shown = f"[{host}]" if ":" in host else host
    addresses = {name: f"http://{shown}:{bound}/#token={token}" for name, token in tokens.items()}
    names = {shown, "localhost", "127.0.0.1"} if _is_loopback(host) else {shown}
    door = Door(frozenset(f"{name.lower()}:{bound}" for name in names), {token: name for name, token in tokens.items()})
    review = Review(desk, volumes, failed, Trail(desk.store))
    if order:
        first = volumes.request(order[0])
        first.exception()  # a scan that cannot be read is told on the page
        volumes.prepare(order[1:])
    return Setting(review, order, addresses, listener, door)


def serve(setting: Setting, complain: Callable[[str], None], ready: Callable[[], None]) -> None:
    """Answer requests until the process is told to stop.

    Parameters
    ----------
    setting : Setting
        What `open_review` returned.
    complain : callable
        Takes what whoever started the review should read: a store that fails, a defect.
    ready : callable
        Called once requests are answered.
    """
    app = make_app(setting.review, setting.door, complain)
    logger = logging.getLogger("uvicorn.error")
    logger.handlers, logger.propagate = [_Complaints(complain)], False
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=HEAD_MOST,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        backlog=BACKLOG,
    )
    try:
        _Server(config, ready).run(sockets=[setting.listener])
    finally:
        setting.review.volumes.close()
        setting.review.threads.shutdown(wait=False, cancel_futures=True)
        setting.review.desk.store.close()


def find_sources(scans: Sequence[Path], cases: Mapping[str, Case]) -> dict[str, Source]:
    """Find out which scan of the results each given path is.

    Parameters
    ----------
    scans : sequence of Path
        Manifests (``.csv``), whose ids are believed until the scan is opened, or scans, told by their fingerprints.
    cases : mapping of str to Case
        The results.

    Raises
    ------
    CalcscoreError
        When a path cannot be read, or is a scan that no result is of.
    """
    found: dict[str, Source] = {}
    for path in scans:
        if path.suffix == ".csv":
            found |= {row.scan_id: Source(Path(row.image)) for row in read_manifest(path) if row.scan_id in cases}
            continue
        fingerprint = read_scan(path).fingerprint()
        named = [s for s, case in cases.items() if case.result.provenance.scan_sha256 == fingerprint]
        if not named:
            raise ReviewError(f"--scans names scans of the results, but no result is of {path}; score it first")
        found |= {scan_id: Source(path) for scan_id in named}
    return found


def check_host(host: str, *, allow_network: bool) -> None:
    """Refuse to listen beyond this machine unless that was asked for, or on no address in particular."""
    if _is_loopback(host):
        return
    if not allow_network:
        raise ReviewError(
            f"a review listens on this machine only, got --host {host}: what is sent is not encrypted. Use `ssh -L` "
            "from the other machine, or add --allow-network where the network is trusted"
        )
    if host in ("0.0.0.0", "::", ""):
        raise ReviewError(f"a review needs the one address that others use, got {host or 'none'}; give that one")


class _Server(uvicorn.Server):
    """uvicorn, telling when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


class _Complaints(logging.Handler):
    """Tells of defects where they are, and not what came with them, which may name a path or a token."""

    def __init__(self, complain: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._complain = complain

    def emit(self, record: logging.LogRecord) -> None:
        """Tell of one."""
        kind, _, trace = record.exc_info or (None, None, None)
        if kind is None:
            return
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace is not None else ""
        self._complain(f"an answer failed: {kind.__name__}{where}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ReviewError(
            f"a review needs a port of its own, got {host}:{port} ({error.strerror}); choose another with --port"
        ) from error
    return listener
