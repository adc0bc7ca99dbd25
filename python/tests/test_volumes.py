"""Scans in, findings out, each on the geometry of the input."""

from __future__ import annotations

import numpy as np
import pytest

import medparse

nibabel = pytest.importorskip("nibabel")

AFFINE = np.array([[0, -1.5, 0, 10], [1, 0, 0, -20], [0, 0, 2.0, 5], [0, 0, 0, 1]], float)


@pytest.fixture()
def scan(tmp_path):
    """A NIfTI volume of three slices whose axes are turned."""
    values = np.zeros((40, 30, 3), np.float32)
    values[10:25, 8:20, 1:] = 700
    values += np.arange(30, dtype=np.float32)[None, :, None]
    path = tmp_path / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(values, AFFINE), path)
    return path


def test_volumes_are_read_as_nibabel_reads_them(scan):
    volume = medparse.read_nifti(scan)
    image = nibabel.load(scan)
    assert volume.shape == (3, 30, 40)
    assert np.array_equal(volume.numpy(), image.get_fdata().T.astype(np.float32))
    with pytest.raises(ValueError, match="expected dicom, found nifti"):
        medparse.read_dicom(scan)


def test_arrays_are_volumes(model):
    values = np.random.default_rng(5).normal(size=(3, 20, 30))
    volume = medparse.Volume.from_array(values, AFFINE)
    assert np.allclose(volume.affine, AFFINE) and repr(volume) == "Volume(memory, 3 × 20 × 30)"
    assert np.array_equal(np.asarray(volume), values.astype(np.float32))
    assert np.asarray(volume, dtype=float).dtype == float
    assert volume._repr_png_().startswith(b"\x89PNG")
    (one,), (other,) = (model.segment_volume(scan, "liver") for scan in [values, volume])
    assert np.array_equal(one.mask, other.mask)
    with pytest.raises(
        ValueError, match=r"expected \[slices, rows, columns\], found shape \[20, 30\]"
    ):
        medparse.Volume.from_array(values[0])
    with pytest.raises(ValueError, match=r"expected a 4 × 4 affine, found shape \[3, 3\]"):
        medparse.Volume.from_array(values, np.eye(3))


def test_findings_lie_where_the_scan_lies(model, scan, tmp_path):
    volume = medparse.read(scan)
    (found,) = model.segment_volume(volume, ["liver"])
    assert found.mask.shape == volume.shape
    assert found.millilitres == pytest.approx(found.voxels * 3.0 / 1000)
    out = tmp_path / "found.nii.gz"
    found.save(out)
    written = nibabel.load(out)
    assert np.allclose(written.affine, AFFINE)
    assert np.array_equal(written.get_fdata().T > 0, found.mask)


def test_masks_by_name_are_written_in_many_formats(scan, tmp_path):
    volume = medparse.read(scan)
    mask = np.zeros(volume.shape, bool)
    mask[1, 5:9, 6:12] = True
    for name in ["m.seg.nrrd", "m.nii.gz", "m.npz"]:
        medparse.write(tmp_path / name, volume, {"box": mask})
        assert (tmp_path / name).stat().st_size > 0
    read = medparse.read(tmp_path / "m.seg.nrrd")
    assert np.array_equal(read.numpy() > 0, mask)
    with pytest.raises(ValueError, match="expected a mask of shape"):
        medparse.write(tmp_path / "n.seg.nrrd", volume, {"box": mask[:, :3]})
    with pytest.raises(TypeError, match="expected answers, or masks by name"):
        medparse.write(tmp_path / "n.seg.nrrd", volume, mask)
    with pytest.raises(ValueError, match="expected a name that ends in"):
        medparse.write(tmp_path / "n.xyz", volume, {"box": mask})
    with pytest.raises(medparse.MedparseError, match="(?i)dicom"):
        medparse.write_dicom_seg(tmp_path / "n.dcm", volume, {"box": mask})
    assert not (tmp_path / "n.dcm").exists()


def test_a_slice_of_a_volume_must_be_named(model, scan):
    volume = medparse.read(scan)
    with pytest.raises(ValueError, match="volume of 3 slices"):
        model.segment(volume, "liver")
    assert model.segment(volume, "liver", index=1)[0].mask.ndim == 2
