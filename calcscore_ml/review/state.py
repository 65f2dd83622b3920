"""What stands now: a result and the events of a reading, replayed. Pure: no file, no clock, no store.

A referred lesion is pending until somebody labels it. The range is what the score could still become: the pending ones
rejected, or accepted as coronary. The score as it stands is one of the outcomes, so the range always contains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.errors import ReviewError
from calcscore_ml.result import NO_SCORE, PendingRange, ScanResult
from calcscore_ml.review.changes import apply_event
from calcscore_ml.review.events import AddLesion, Event, Note, Undo
from calcscore_ml.review.lesions import ReviewLesion, calcium_as, find_lesion, listed_lesions, numbered
from calcscore_ml.scores import Calcium, ScoreSummary, agatston, summarise
from calcscore_ml.scores.agatston import total

NOT_STORED = 0
"""Id of an event that was only asked about."""

NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""Time of an event that was only asked about."""


@dataclass(frozen=True, slots=True)
class Totals:
    """A reading's numbers before or after an event.

    Parameters
    ----------
    agatston, lowest, highest : float
        Score and range.
    category : str
        Risk category of the score.
    """

    agatston: float
    lowest: float
    highest: float
    category: str


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it was stored.

    Parameters
    ----------
    id : int
        Unique in the store; an undo names it.
    scan_id, reading : str
        Stream it belongs to.
    version : int
        Its place in the stream, 1 for the first.
    observer : str
        Who decided.
    at : datetime
        When, UTC.
    event : Event
        What.
    lesion : str or None
        Key of the lesion it is about.
    old_label, new_label : int or None
        `Label` of that lesion before and after; None where there is none.
    model_sha256 : str
        Of the model whose result was reviewed.
    before, after : Totals
        Numbers of the reading.
    """

    id: int
    scan_id: str
    reading: str
    version: int
    observer: str
    at: datetime
    event: Event
    lesion: str | None
    old_label: int | None
    new_label: int | None
    model_sha256: str
    before: Totals
    after: Totals


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What one reading says of one scan.

    Parameters
    ----------
    scan_id : str
        The scan.
    result, calcium : ScanResult, Calcium
        What was scored, as `calcscore_ml.result.read_result` gives it.
    listed : tuple of ReviewLesion
        Lesions before any event.
    lesions : tuple of ReviewLesion
        Lesions now: in the order of the result, parts in place of what was split, added ones last.
    score : ScoreSummary
        Of the lesions under their labels.
    range : PendingRange
        What the total could still become.
    version : int
        Number of events.
    note : str
        The note on the whole scan.
    events : tuple of StoredEvent
        What was replayed, undone ones too.
    """

    scan_id: str
    result: ScanResult
    calcium: Calcium
    listed: tuple[ReviewLesion, ...]
    lesions: tuple[ReviewLesion, ...]
    score: ScoreSummary
    range: PendingRange
    version: int
    note: str
    events: tuple[StoredEvent, ...]

    @property
    def headline(self) -> str:
        """The score in one line, as in ``412 (390-455 pending 3 lesions)``, or `NO_SCORE`: no decision gives one."""
        return self.range.say(self.score.total.agatston) if self.result.valid else NO_SCORE

    @property
    def category(self) -> str:
        """The risk category; empty when there is no score."""
        return self.score.category if self.result.valid else ""

    @property
    def totals(self) -> Totals:
        """Score, range and category."""
        return Totals(self.score.total.agatston, self.range.lowest, self.range.highest, self.score.category)

    def lesion(self, key: str) -> ReviewLesion:
        """Return the lesion with a key, or raise `ReviewError`."""
        return self.lesions[find_lesion(self.lesions, key)]

    def _with(self, events: tuple[StoredEvent, ...]) -> Self:
        undone = undone_events(events)
        lesions, note = self.listed, ""
        for stored in events:
            event = stored.event
            if stored.id in undone or isinstance(event, Undo):
                continue
            if isinstance(event, Note) and event.lesion is None:
                note = event.text
            lesions = apply_event(lesions, event, stored.version, stored.observer, self.result, self.calcium)
        lesions = numbered(lesions, self.result)
        score, span = _scored(lesions, self.result.score, self.calcium)
        return replace(self, lesions=lesions, score=score, range=span, version=len(events), note=note, events=events)


def start(result: ScanResult, calcium: Calcium) -> Reading:
    """Return the reading of a scan that nobody has decided on: its score is the result's.

    Parameters
    ----------
    result, calcium : ScanResult, Calcium
        As `calcscore_ml.result.read_result` gives them.

    Raises
    ------
    ReviewError
        When the two do not fit.
    """
    listed = listed_lesions(result, calcium)
    score, span = _scored(listed, result.score, calcium)
    return Reading(result.scan_id, result, calcium, listed, listed, score, span, 0, "", ())


def replay(result: ScanResult, calcium: Calcium, stored: Sequence[StoredEvent]) -> Reading:
    """Return what stands after the events of a reading.

    Parameters
    ----------
    result, calcium : ScanResult, Calcium
        As `calcscore_ml.result.read_result` gives them.
    stored : sequence of StoredEvent
        Every event of one reading of this scan, in order.

    Raises
    ------
    ReviewError
        When they are of another scan, incomplete, or do not fit the result.
    """
    return advance(start(result, calcium), stored)


def advance(reading: Reading, stored: Sequence[StoredEvent]) -> Reading:
    """Return a reading after more stored events; see `replay`."""
    events = (*reading.events, *stored)
    for version, event in enumerate(events, start=1):
        if event.scan_id != reading.scan_id or event.version != version or event.reading != events[0].reading:
            raise ReviewError(
                f"a reading is all events of one scan in order, expected number {version} of {reading.scan_id}, got "
                f"number {event.version} of {event.scan_id}, reading {event.reading}; load them from the store again"
            )
    return reading._with(events)


def what_if(reading: Reading, event: Event, observer: str = "") -> Reading:
    """Return what would stand after an event.

    Parameters
    ----------
    reading : Reading
        What stands.
    event : Event
        What is asked for.
    observer : str
        Who asks.

    Raises
    ------
    ReviewError
        When the event does not fit: an unknown lesion, positions out of range, an undo that others build on.
    """
    if isinstance(event, Undo):
        _refuse_undo(reading, event)
    asked = StoredEvent(
        id=NOT_STORED,
        scan_id=reading.scan_id,
        reading=reading.events[0].reading if reading.events else "",
        version=reading.version + 1,
        observer=observer,
        at=NO_TIME,
        event=event,
        lesion=None,
        old_label=None,
        new_label=None,
        model_sha256="",
        before=reading.totals,
        after=reading.totals,
    )
    try:
        return reading._with((*reading.events, asked))
    except ReviewError as error:
        if not isinstance(event, Undo):
            raise
        raise ReviewError(
            f"an undo must leave later decisions standing, got one that later ones build on ({error}); undo those first"
        ) from error


def undone_events(stored: Sequence[StoredEvent]) -> frozenset[int]:
    """Return the ids of the events that have no effect, undone undos among them."""
    undone: set[int] = set()
    for event in reversed(stored):
        if isinstance(event.event, Undo) and event.id not in undone:
            undone.add(event.event.event)
    return frozenset(undone)


def about(reading: Reading, event: Event) -> str | None:
    """Return the key of the lesion an event is about; None when it is about the scan."""
    if isinstance(event, AddLesion):
        return f"+{reading.version + 1}"
    if isinstance(event, Undo):
        return next((e.lesion for e in reading.events if e.id == event.event), None)
    return event.lesion


def _refuse_undo(reading: Reading, event: Undo) -> None:
    if event.event not in {e.id for e in reading.events}:
        raise ReviewError(
            f"an undo must name an event of this reading of {reading.scan_id}, got {event.event}; load it again"
        )
    if event.event in undone_events(reading.events):
        raise ReviewError(
            f"an event is undone once, got event {event.event}, which is undone already; undo the undo to bring it back"
        )


def _scored(
    lesions: tuple[ReviewLesion, ...], as_before: ScoreSummary, calcium: Calcium
) -> tuple[ScoreSummary, PendingRange]:
    """Score lesions by the rule, calibration and scheme of a summary."""
    rule = as_before.rule
    now = calcium_as(lesions, [n.label for n in lesions], calcium)
    score = summarise(now, rule, as_before.calibration, as_before.scheme)
    found = score.total.agatston
    pending = sum(n.pending for n in lesions)
    if not pending:
        return score, PendingRange(found, found, 0)

    def if_pending(rejected: bool) -> float:
        labels = [n.label if not n.pending else Label.OTHER if rejected else n.accepted for n in lesions]
        coronary = [t if t in ARTERIES else Label.OTHER for t in labels]
        return total(agatston(calcium_as(lesions, coronary, calcium), rule), rule)

    # Of a rule that rounds each lesion, less calcium may round to more: all three are outcomes, in whichever order.
    outcomes = (if_pending(True), found, if_pending(False))
    return score, PendingRange(min(outcomes), max(outcomes), pending)
