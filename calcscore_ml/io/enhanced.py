"""Multi-frame (enhanced) CT: many slices in one file, each with its own functional groups.

DICOM PS3.3 A.38 and C.7.6.16. What all frames share stands in the shared groups, what differs in the per-frame groups;
a frame's header is the file's own values, overlaid by the shared ones, overlaid by the frame's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from calcscore_ml.errors import ScanError
from calcscore_ml.io.acquisition import number


def frame_headers(
    header: Mapping[str, object],
    shared: Iterable[Dataset],
    per_frame: Iterable[Dataset],
    keywords: Iterable[str],
    where: str,
) -> list[dict[str, object]]:
    """Give each frame of a multi-frame file a flat header, as if it were a file of its own.

    Parameters
    ----------
    header : mapping of str to value
        The file's own values by DICOM keyword; `NumberOfFrames` is among them.
    shared : iterable of Dataset
        Items of SharedFunctionalGroupsSequence, one at most.
    per_frame : iterable of Dataset
        Items of PerFrameFunctionalGroupsSequence.
    keywords : iterable of str
        DICOM keywords to look for in the groups.
    where : str
        File named in errors.

    Returns
    -------
    list of dict
        One header per frame, in stored order. A frame's FrameType takes the place of ImageType.

    Raises
    ------
    ScanError
        When the number of frames and of groups differ.
    """
    wanted = frozenset(keywords)
    common = dict(header)
    for item in shared:
        common |= _flat(item, wanted)
    frames = [common | _flat(item, wanted) for item in per_frame]
    count = int(number(header, "NumberOfFrames") or 1)
    if len(frames) != count:
        raise ScanError(
            f"a multi-frame file must describe each frame, got {len(frames)} descriptions for {count} frames in "
            f"{where}; export it again"
        )
    for frame in frames:
        frame["ImageType"] = frame.get("FrameType") or frame.get("ImageType")
    return frames


def value_of(dataset: Dataset, keyword: str) -> object:
    """Return an element's value, or `None` when it is missing, empty or cannot be read."""
    try:
        return cast("object", dataset.get(keyword))
    except (ValueError, TypeError, KeyError, OverflowError, NotImplementedError):
        return None


def _flat(groups: Dataset, keywords: frozenset[str]) -> dict[str, object]:
    """Take the elements out of each functional group: PixelMeasuresSequence[0].PixelSpacing becomes PixelSpacing."""
    found: dict[str, object] = {}
    for group in groups:
        if group.VR == "SQ" and group.value:
            item = group.value[0]
            named = set(map(keyword_for_tag, item.keys()))
            found |= {keyword: value_of(item, keyword) for keyword in named & keywords}
    return found
