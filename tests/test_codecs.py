"""Compressed DICOM reads as the scan it holds."""

from pathlib import Path

import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from calcscore_ml.io import read_scan


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless], ids=lambda s: s.name)
def test_a_losslessly_compressed_series_is_the_same_scan(syntax, tmp_path):
    """RLE needs no extra; JPEG 2000 and JPEG-LS are decoded by the extra `codecs`, which the tests install."""
    source = Path("data/qrm-thorax-phantom")
    for file in sorted(source.iterdir())[:6]:
        image = pydicom.dcmread(file)
        image.decompress()
        image.compress(syntax, generate_instance_uid=False)
        image.save_as(tmp_path / file.name)
    whole, found = read_scan(source), read_scan(tmp_path)
    assert (found.hu == whole.hu[:6]).all()
    assert found.geometry.matches(whole.geometry.crop((0, 0, 0), (6, 190, 200)))
