"""What an observer may take away of the reading they see: decisions, label volumes and reviewed results."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from calcscore_ml.review.app import Review, aside, observer_of, review_of, scan_of
from calcscore_ml.review.desk import Desk
from calcscore_ml.review.export import decisions_csv, write_label_volume, write_reviewed
from calcscore_ml.review.state import StoredEvent

PRIVATE = {"Cache-Control": "private, no-store"}
"""What is taken away is kept nowhere else."""


def download_routes() -> list[Route]:
    """Return the addresses of what can be taken away."""
    return [
        Route("/api/export/decisions.csv", _decisions),
        Route("/api/export/labels.nii.gz", _labels),
        Route("/api/export/results.zip", _results),
    ]


async def _decisions(request: Request) -> Response:
    review, observer = review_of(request), observer_of(request)

    def write() -> str:
        review.trail.exported(observer, "decisions")
        return decisions_csv(_events(review.desk, observer))

    return _attached(await aside(review, write), "text/csv; charset=utf-8", "decisions.csv")


async def _labels(request: Request) -> Response:
    review, observer, scan_id = review_of(request), observer_of(request), scan_of(request)

    def write() -> bytes:
        review.trail.exported(observer, "label volume", scan_id)
        reading = review.desk.reading(scan_id, review.desk.reading_of(observer))
        with tempfile.TemporaryDirectory(prefix="calcscore-") as folder:
            return write_label_volume(reading, Path(folder) / "labels.nii.gz").read_bytes()

    return _attached(await aside(review, write), "application/gzip", "labels.nii.gz")


async def _results(request: Request) -> Response:
    review, observer = review_of(request), observer_of(request)
    return _attached(await aside(review, lambda: _zipped(review, observer)), "application/zip", "reviewed-results.zip")


def _zipped(review: Review, observer: str) -> bytes:
    """Result folders of every scan of the reading; their names in the archive are made of numbers alone."""
    review.trail.exported(observer, "reviewed results")
    readings = review.desk.readings(review.desk.reading_of(observer))
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="calcscore-") as folder, zipfile.ZipFile(packed, "w") as archive:
        for number, reading in enumerate(readings.values(), start=1):
            name = f"result-{number:04d}"
            paths = review.desk.cases[reading.scan_id].arteries
            for file in sorted(write_reviewed(Path(folder) / name, reading, arteries=paths).iterdir()):
                archive.write(file, f"{name}/{file.name}", zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _events(desk: Desk, observer: str) -> tuple[StoredEvent, ...]:
    """The events an observer may know: of the reading they see; of every reading where these are settled."""
    events = desk.store.all_events()
    return tuple(e for e in events if desk.mode == "consensus" or e.reading == desk.reading_of(observer))


def _attached(content: str | bytes, kind: str, name: str) -> Response:
    headers = {**PRIVATE, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=kind, headers=headers)
