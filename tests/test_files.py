"""Laws of writing files whole or not at all."""

import errno

import pytest

from calcscore_ml.errors import ResultError
from calcscore_ml.files import write_beside, write_bytes, write_folder_beside, write_text


def _write_and(path, error):
    """Write half a file and fail."""
    with write_beside(path, overwrite=True) as beside:
        beside.write_text("half")
        raise error


def _write_after(path, text):
    """Write a file while another process writes the same."""
    with write_beside(path) as beside:
        beside.write_text("late")
        path.write_text(text)


def test_nothing_is_seen_before_the_end(tmp_path):
    """The target appears only when the block has ended, under its own name and alone."""
    with write_beside(tmp_path / "a.nii.gz") as beside:
        beside.write_bytes(b"x")
        assert beside.parent == tmp_path
        assert beside.name.startswith(".")
        assert beside.name.endswith(".nii.gz")
        assert not (tmp_path / "a.nii.gz").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii.gz"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    """Any error in the block keeps what was there."""
    write_text(tmp_path / "a", "old")
    with pytest.raises(KeyboardInterrupt):
        _write_and(tmp_path / "a", KeyboardInterrupt())
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_overwriting_must_be_asked_for(tmp_path):
    """An existing target stops the write before it begins; one that appears meanwhile stops it at the end."""
    write_text(tmp_path / "a", "old")
    with pytest.raises(ResultError, match="an existing result is kept, but a is there already"):
        write_bytes(tmp_path / "a", b"new")
    with pytest.raises(ResultError, match="kept"):
        _write_after(tmp_path / "b", "early")
    assert (tmp_path / "b").read_text() == "early"
    write_text(tmp_path / "a", "new", overwrite=True)
    assert (tmp_path / "a").read_text() == "new"


def test_parent_folders_are_made(tmp_path):
    """A result may go into a folder that is not there yet."""
    assert write_text(tmp_path / "x" / "y" / "a", "é\n").read_bytes() == "é\n".encode()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_refuses_is_a_result_error(tmp_path, number):
    """What the system says about the disk becomes one sentence; nothing stays behind."""
    with pytest.raises(ResultError, match="a result must be written whole, but the disk did not take a "):
        _write_and(tmp_path / "a", OSError(number, "disk"))
    assert not list(tmp_path.iterdir())


def test_other_system_errors_pass_through(tmp_path):
    """A missing input is not a full disk."""
    with pytest.raises(FileNotFoundError), write_beside(tmp_path / "a"):
        (tmp_path / "input").read_text()


def test_a_folder_is_written_whole_or_not_at_all(tmp_path):
    """The same holds for folders, and a folder with files is never touched."""
    with write_folder_beside(tmp_path / "scan") as beside:
        (beside / "1").write_text("x")
        assert not (tmp_path / "scan").exists()
    with pytest.raises(ResultError), write_folder_beside(tmp_path / "scan"):
        pass
    with pytest.raises(IsADirectoryError), write_folder_beside(tmp_path / "other") as beside:
        beside.write_text("x")
    assert [p.name for p in tmp_path.iterdir()] == ["scan"]
