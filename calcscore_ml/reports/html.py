"""The report of a scan: one HTML page that holds its own pictures and needs nothing from anywhere."""

from __future__ import annotations

from functools import cache

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from calcscore_ml.anatomy import ARTERIES, TITLES, Label
from calcscore_ml.candidates import Candidates
from calcscore_ml.heart.locate import Location
from calcscore_ml.reports.location_pictures import BOX_COLOUR, HEART_COLOUR, START_COLOURS, location_picture
from calcscore_ml.reports.pictures import COLOURS, contact_sheets, embed, lesion_pictures, overview
from calcscore_ml.result import ScanResult, counted
from calcscore_ml.scan import Scan
from calcscore_ml.scores import Calcium
from calcscore_ml.scores.summary import OUTSIDE_CORONARIES

MOST_PICTURES = 400
"""Lesions drawn one by one; the rest of a very calcified or very noisy scan stays on the contact sheets."""


def scan_report(result: ScanResult, scan: Scan, candidates: Candidates, calcium: Calcium, location: Location) -> str:
    """Write the report of a scored scan.

    Parameters
    ----------
    result : ScanResult
        What to say.
    scan : Scan
        What to draw.
    candidates : Candidates
        Every candidate, for the contact sheets.
    calcium : Calcium
        Voxels of the listed lesions.
    location : Location
        Where heart, aorta and arteries lie, to be drawn.

    Returns
    -------
    str
        HTML; every value in it is escaped.
    """
    # Referred lesions first, then coronary by effect on the score, then the other sites.
    ordered = sorted(result.lesions, key=lambda n: (not n.referred, not n.label.is_coronary, -n.agatston, n.lesion))
    cards = []
    for lesion in ordered[:MOST_PICTURES]:
        own = calcium.in_lesions(np.array([lesion.lesion]))
        close, context = lesion_pictures(scan, own.voxels, own.hu, COLOURS[lesion.label])
        likely = sorted(lesion.probabilities.items(), key=lambda item: -item[1])[:3]
        cards.append(
            {
                "lesion": lesion,
                "colour": COLOURS[lesion.label],
                "likely": likely,
                "close": embed(close),
                "context": embed(context),
            }
        )
    shown = {card["lesion"].lesion for card in cards}  # type: ignore[attr-defined]
    rest = np.flatnonzero(~np.isin(candidates.ids, list(shown)))
    return _template().render(
        result=result,
        cards=cards,
        overview=embed(overview(scan, counted(result, calcium), result.heart_box)),
        location_picture=embed(location_picture(scan, location)),
        location_palette=_location_palette(location),
        sheets=[(embed(picture), count) for picture, count in contact_sheets(scan, candidates, rest)],
        rest=len(rest),
        palette=[(TITLES[label], COLOURS[label]) for label in (*ARTERIES, *OUTSIDE_CORONARIES)],
    )


def _location_palette(location: Location) -> list[tuple[str, str]]:
    if not location.trusted:
        return [(f"heart box by {k}", START_COLOURS[k]) for k, box in location.starts.items() if box is not None]
    lines = [(TITLES[label], COLOURS[label]) for label in (Label.AORTA, *ARTERIES)]
    return [("heart", HEART_COLOUR), ("heart box", BOX_COLOUR), *lines]


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("calcscore_ml.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")
