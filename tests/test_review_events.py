"""Laws of what a decision can be."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_readings import events
from pydantic import ValidationError

from calcscore_ml.errors import ReviewError
from calcscore_ml.review.events import (
    LONGEST_NOTE,
    LabelLesion,
    event_json,
    parse_event,
)


@given(events)
def test_an_event_survives_its_json(event):
    """What is written is read back equal, as the same kind."""
    again = parse_event(event_json(event))
    assert again == event
    assert type(again) is type(event)


@given(events, st.sampled_from(["kind", "lesion", "label", "parts", "positions", "voxels", "hu", "text", "event"]))
def test_nothing_may_be_left_out_or_added(event, name):
    """An event without one of its values, or with one more, is refused; only a note may be about no lesion."""
    content = json.loads(event_json(event))
    with pytest.raises(ReviewError, match="must be one of label, split"):
        parse_event(json.dumps({**content, "more": 1}))
    if name in content and (event.kind, name) != ("note", "lesion"):
        del content[name]
        with pytest.raises(ReviewError):
            parse_event(json.dumps(content))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        "{",
        '{"kind": "shout"}',
        '{"kind": "label", "lesion": "12", "label": 8}',
        '{"kind": "label", "lesion": "12", "label": -1}',
        '{"kind": "label", "lesion": "12", "label": true}',
        '{"kind": "label", "lesion": "12", "label": "1"}',
        '{"kind": "label", "lesion": "12", "label": 1.5}',
        '{"kind": "label", "lesion": 12, "label": 1}',
        '{"kind": "label", "lesion": "0", "label": 1}',
        '{"kind": "label", "lesion": "../12", "label": 1}',
        '{"kind": "label", "lesion": "12\\n", "label": 1}',
        '{"kind": "split", "lesion": "12", "parts": [[0, 1]]}',
        '{"kind": "split", "lesion": "12", "parts": [[0, 1], []]}',
        '{"kind": "split", "lesion": "12", "parts": [[0, 1], [1, 2]]}',
        '{"kind": "split", "lesion": "12", "parts": [[0, 0], [1, 2]]}',
        '{"kind": "exclude", "lesion": "12", "positions": []}',
        '{"kind": "exclude", "lesion": "12", "positions": [-1]}',
        '{"kind": "exclude", "lesion": "12", "positions": [3, 3]}',
        '{"kind": "add", "voxels": [[0, 0]], "hu": [200], "label": 1}',
        '{"kind": "add", "voxels": [[0, 0, 0]], "hu": [200, 300], "label": 1}',
        '{"kind": "add", "voxels": [[0, 0, 0], [0, 0, 0]], "hu": [200, 300], "label": 1}',
        '{"kind": "add", "voxels": [[0, 0, 0]], "hu": [40000], "label": 1}',
        '{"kind": "add", "voxels": [[0, 0, 0]], "hu": [200], "label": 0}',
        '{"kind": "note", "lesion": null, "text": "a\\u0000b"}',
        '{"kind": "note", "lesion": null, "text": "a\\rb"}',
        '{"kind": "note", "lesion": null, "text": "\\ud800"}',
        json.dumps({"kind": "note", "text": "x" * (LONGEST_NOTE + 1)}),
        '{"kind": "undo", "event": 0}',
    ],
)
def test_what_breaks_a_rule_is_refused(content):
    """Values of the wrong type, out of range, overlapping, empty or unpaired never become an event."""
    with pytest.raises(ReviewError, match=r"got something else: .+"):
        parse_event(content)


@given(st.text(max_size=60))
def test_any_text_is_an_event_or_a_clear_error(content):
    """Text that is no JSON of an event makes a `ReviewError`, and is not repeated at length."""
    with pytest.raises(ReviewError) as caught:
        parse_event(content)
    assert len(str(caught.value)) < 600


def test_an_event_cannot_be_changed():
    """Decisions are frozen."""
    with pytest.raises(ValidationError):
        LabelLesion(lesion="1", label=1).label = 2
