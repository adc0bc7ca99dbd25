"""Masks from a medical picture and words, on your own machine.

>>> import medparse
>>> model = medparse.load()
>>> for answer in model.segment("slide.png", ["nuclei"]):
...     print(answer.prompt, answer.category, answer.area)

Research software, not a medical device.
"""

from importlib.metadata import version as _version

from ._medparse import MedparseError, Volume
from .endpoint import AsyncEndpoint, Endpoint, EndpointError
from .evaluation import evaluate
from .model import Encoded, Model, load
from .pictures import ImageLike, Prepared, prepare
from .results import Segmentation, Segmentations, VolumeSegmentation
from .volumes import (
    read,
    read_dicom,
    read_nifti,
    write,
    write_dicom_seg,
    write_nifti,
    write_nrrd,
    write_rtstruct,
)

__version__ = _version("medparse")

__all__ = [
    "AsyncEndpoint",
    "Encoded",
    "Endpoint",
    "EndpointError",
    "ImageLike",
    "MedparseError",
    "Model",
    "Prepared",
    "Segmentation",
    "Segmentations",
    "Volume",
    "VolumeSegmentation",
    "evaluate",
    "load",
    "prepare",
    "read",
    "read_dicom",
    "read_nifti",
    "write",
    "write_dicom_seg",
    "write_nifti",
    "write_nrrd",
    "write_rtstruct",
]
