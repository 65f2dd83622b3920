"""The review as a web application: what each address answers.

A scan is named by its id in a query, looked up among the scans that were opened, and never part of a path. Whoever
asks is told by the token (`calcscore_ml.review.security`), so no request says who it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from calcscore_ml.errors import ReviewError, StoreError
from calcscore_ml.result import INTENDED_USE
from calcscore_ml.review.assets import PAGE, Asset, read_assets
from calcscore_ml.review.desk import Desk
from calcscore_ml.review.intents import Asked, needs_scan, parse_asked, to_event
from calcscore_ml.review.security import Door, Guard
from calcscore_ml.review.settling import Settling, told_agreement, told_opinions
from calcscore_ml.review.slices import AXES, WINDOWS, Axis, PictureCache, Window, cut, grey, project, stretched, to_png
from calcscore_ml.review.state import Reading, what_if
from calcscore_ml.review.store import VersionConflict
from calcscore_ml.review.told import (
    heart_crop,
    told_decision,
    told_labels,
    told_queue,
    told_scan,
    told_score,
    told_voxels,
)
from calcscore_ml.review.trail import Trail
from calcscore_ml.review.volumes import Volume, Volumes

READ_WAIT_S = 20.0
"""How long a picture waits for its scan to be read before the page is told to ask again [s]."""

PICTURE_CACHE = "private, max-age=3600"
"""Pictures of a scan never change; no cache that others share may keep them."""

THREADS = 6
"""Pictures and decisions made at a time."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Review:
    """What the application answers from.

    Parameters
    ----------
    desk : Desk
        Results and readings.
    volumes : Volumes
        Scans.
    failed : dict of str to str
        Folders of results that could not be read, and why.
    trail : Trail
        What is written down besides decisions.
    pictures : PictureCache
        Drawn last.
    threads : ThreadPoolExecutor
        Where work is done that takes time.
    settling : Settling
        What earlier readings said, where they are settled.
    """

    desk: Desk
    volumes: Volumes
    failed: dict[str, str]
    trail: Trail
    pictures: PictureCache = field(default_factory=PictureCache)
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS, "answer"))
    settling: Settling = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "settling", Settling(self.desk))


class _NotFound(Exception):  # noqa: N818 (an answer, not an error)
    """What was asked for is not there."""


def make_app(review: Review, door: Door, complain: Callable[[str], None]) -> ASGIApp:
    """Return the application behind its guard.

    Parameters
    ----------
    review : Review
        What it answers from.
    door : Door
        Who is let in.
    complain : callable
        Told what whoever started the review should read, and no page should show: a store that fails.
    """
    from calcscore_ml.review.downloads import download_routes

    routes = [
        Route("/", _page),
        Route("/static/{name}", _static),
        Route("/api/start", _start),
        Route("/api/queue", _queue),
        Route("/api/pulse", _pulse),
        Route("/api/scan", _scan),
        Route("/api/voxels", _voxels),
        Route("/api/slice", _slice),
        Route("/api/heart", _heart),
        Route("/api/agreement", _agreement),
        Route("/api/preview", _preview, methods=["POST"]),
        Route("/api/decide", _decide, methods=["POST"]),
        *download_routes(),
    ]
    errors = {
        _NotFound: _told_missing,
        VersionConflict: _told_conflict,
        StoreError: _told_store,
        ReviewError: _told_rule,
    }
    app = Starlette(routes=routes, exception_handlers=cast(Any, errors))
    app.state.review = review
    app.state.assets = read_assets()
    app.state.complain = complain
    return Guard(app, door, lambda who, why, path: review.trail.refused(who, why, path))


def review_of(request: Request) -> Review:
    """Return what the application answers from."""
    return cast(Review, request.app.state.review)


def observer_of(request: Request) -> str:
    """Return who asks."""
    return cast(str, request.state.observer)


def scan_of(request: Request) -> str:
    """Return the scan a query names, one of those that were opened."""
    scan_id = request.query_params.get("scan", "")
    if scan_id not in review_of(request).desk.cases:
        raise _NotFound("scan")
    return scan_id


async def aside(review: Review, work: Callable[[], T]) -> T:
    """Do work that takes time in a thread."""
    return await asyncio.get_running_loop().run_in_executor(review.threads, work)


async def _page(request: Request) -> Response:
    return _sent(request, request.app.state.assets[PAGE])


async def _static(request: Request) -> Response:
    found = request.app.state.assets.get(request.path_params["name"])
    if found is None:
        raise _NotFound("file")
    return _sent(request, found)


async def _start(request: Request) -> Response:
    review, observer = review_of(request), observer_of(request)
    return JSONResponse({
        "observer": observer,
        "mode": review.desk.mode,
        "labels": told_labels(),
        "windows": list(WINDOWS),
        "intended_use": INTENDED_USE,
        "failed": review.failed,
    })  # fmt: skip


async def _queue(request: Request) -> Response:
    review, name = review_of(request), _reading_name(request)

    def tell() -> dict[str, Any]:
        readings = review.desk.readings(name)
        scans = [{**told_score(r), "state": review.volumes.state(s)} for s, r in readings.items()]
        return {"scans": scans, "lesions": told_queue(readings, _differing(review))}

    return JSONResponse(await aside(review, tell))


async def _pulse(request: Request) -> Response:
    """How many events each scan has, and which scans are at hand: what a page asks every few seconds."""
    review, name = review_of(request), _reading_name(request)
    versions = await aside(review, lambda: review.desk.store.versions(name))
    states = {scan_id: review.volumes.state(scan_id) for scan_id in review.desk.cases}
    return JSONResponse({"versions": versions, "states": states})


async def _scan(request: Request) -> Response:
    review, scan_id, name = review_of(request), scan_of(request), _reading_name(request)
    return JSONResponse(await aside(review, lambda: _told(review, review.desk.reading(scan_id, name))))


async def _voxels(request: Request) -> Response:
    review, scan_id, name = review_of(request), scan_of(request), _reading_name(request)
    return JSONResponse(await aside(review, lambda: told_voxels(review.desk.reading(scan_id, name))))


async def _slice(request: Request) -> Response:
    review, scan_id = review_of(request), scan_of(request)
    axis, window = _axis(request), _window(request)
    text = request.query_params.get("index", "")
    length = review.desk.cases[scan_id].result.geometry.shape[AXES[axis]]
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) < length):
        raise _NotFound("slice")
    index, hu = int(text), await _volume(review, scan_id)
    if hu is None:
        return _still_reading()
    key = (scan_id, axis, index, window.name)
    png = await aside(review, lambda: review.pictures.get(key, lambda: to_png(grey(cut(hu, axis, index), window))))
    return Response(png, media_type="image/png", headers={"Cache-Control": PICTURE_CACHE})


async def _heart(request: Request) -> Response:
    review, scan_id = review_of(request), scan_of(request)
    axis = _axis(request)
    hu = await _volume(review, scan_id)
    if hu is None:
        return _still_reading()
    corners = heart_crop(review.desk.cases[scan_id])
    key = (scan_id, axis, "heart")
    png = await aside(review, lambda: review.pictures.get(key, lambda: to_png(stretched(project(hu, axis, *corners)))))
    return Response(png, media_type="image/png", headers={"Cache-Control": PICTURE_CACHE})


async def _agreement(request: Request) -> Response:
    review = review_of(request)
    if review.desk.mode != "consensus":
        raise _NotFound("agreement")
    return JSONResponse(await aside(review, lambda: told_agreement(review.settling, review.desk)))


async def _preview(request: Request) -> Response:
    """Tell what a decision would do, without storing anything."""
    review, asked = review_of(request), await _asked(request)
    name, hu = _reading_name(request), await _needed(review, asked)

    def tell() -> dict[str, Any]:
        reading, case = review.desk.reading(asked.scan, name), review.desk.cases[asked.scan]
        event = to_event(asked.intent, reading, case.limits, case.arteries, hu)
        then = what_if(reading, event, observer_of(request))
        made = [n for n in then.lesions if n.key not in {m.key for m in reading.lesions}]
        return {
            "before": told_score(reading),
            "after": told_score(then),
            "lesions": {n.key: {"voxels": n.voxels.ravel().tolist(), "effect": n.effect} for n in made},
        }

    return JSONResponse(await aside(review, tell))


async def _decide(request: Request) -> Response:
    review, asked, observer = review_of(request), await _asked(request), observer_of(request)
    hu = await _needed(review, asked)

    def store() -> dict[str, Any]:
        case, name = review.desk.cases[asked.scan], review.desk.reading_of(observer)
        reading = review.desk.reading(asked.scan, name)
        if reading.version != asked.seen:
            raise VersionConflict("another decision came first; look at what stands now", reading.events[asked.seen :])
        event = to_event(asked.intent, reading, case.limits, case.arteries, hu)
        stored, now = review.desk.decide(asked.scan, observer, asked.seen, event)
        return {"decision": told_decision(stored, now), "scan": _told(review, now)}

    return JSONResponse(await aside(review, store))


def _told(review: Review, reading: Reading) -> dict[str, Any]:
    told = told_scan(review.desk.cases[reading.scan_id], reading)
    told["state"] = review.volumes.state(reading.scan_id)
    if review.desk.mode == "consensus":
        told["opinions"] = told_opinions(review.settling, reading.scan_id)
    return told


def _differing(review: Review) -> dict[str, frozenset[str]]:
    """Lesions of each scan on which readings differ that are settled now."""
    if review.desk.mode != "consensus":
        return {}
    return {
        scan_id: frozenset(key for key, said in review.settling.opinions(scan_id).items() if said.differs)
        for scan_id in review.desk.cases
    }


def _reading_name(request: Request) -> str:
    return review_of(request).desk.reading_of(observer_of(request))


async def _asked(request: Request) -> Asked:
    asked = parse_asked(await request.body())
    request.state.scan = asked.scan
    if asked.scan not in review_of(request).desk.cases:
        raise _NotFound("scan")
    return asked


async def _needed(review: Review, asked: Asked) -> Volume | None:
    """The scan's voxels where a decision looks at them."""
    if not needs_scan(asked.intent):
        return None
    hu = await _volume(review, asked.scan)
    if hu is None:
        raise ReviewError("a lesion is added once its scan has been read; try again in a moment")
    return hu


async def _volume(review: Review, scan_id: str) -> Volume | None:
    """Wait for the voxels of a scan; None when they take longer than a request should."""
    asked = asyncio.wrap_future(review.volumes.request(scan_id))
    done, _ = await asyncio.wait([asked], timeout=READ_WAIT_S)
    if not done:
        asked.add_done_callback(lambda answer: answer.exception())  # somebody else will be told
        return None
    return np.asarray(asked.result())


def _axis(request: Request) -> Axis:
    found = request.query_params.get("axis", "axial")
    if found not in AXES:
        raise _NotFound("axis")
    return found


def _window(request: Request) -> Window:
    found = WINDOWS.get(request.query_params.get("window", "calcium"))
    if found is None:
        raise _NotFound("window")
    return found


def _sent(request: Request, asset: Asset) -> Response:
    headers = {"ETag": asset.etag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == asset.etag:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, headers={**headers, "Content-Type": asset.kind})


def _still_reading() -> Response:
    return JSONResponse({"error": "the scan is being read", "reading": True}, 503, {"Retry-After": "1"})


async def _told_missing(request: Request, error: Exception) -> Response:
    await _note(request, f"404: no such {error}")
    return JSONResponse({"error": f"there is no such {error}"}, 404)


async def _told_conflict(request: Request, error: Exception) -> Response:
    conflict = cast(VersionConflict, error)
    review, name = review_of(request), _reading_name(request)
    scan_id: str = request.state.scan
    await _note(request, "409: another decision came first")

    def tell() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        now = review.desk.reading(scan_id, name)
        return _told(review, now), [told_decision(e, now) | {"at": e.at.isoformat()} for e in conflict.missed]

    told, missed = await aside(review, tell)
    return JSONResponse({"error": "another decision came first", "missed": missed, "scan": told}, 409)


async def _told_store(request: Request, error: Exception) -> Response:
    request.app.state.complain(str(error))  # it names a file or a host, so the page is told less
    return JSONResponse({"error": "the store of decisions failed; nothing was saved, ask who started the review"}, 507)


async def _told_rule(request: Request, error: Exception) -> Response:
    await _note(request, f"422: {error}")
    return JSONResponse({"error": str(error)}, 422)


async def _note(request: Request, why: str) -> None:
    if request.method == "POST":
        review, observer = review_of(request), observer_of(request)
        scan_id = getattr(request.state, "scan", "")
        await aside(review, lambda: review.trail.refused(observer, why, request.url.path, scan_id))
