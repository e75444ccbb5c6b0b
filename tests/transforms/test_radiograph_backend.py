"""Films of every kind through mmdet's own LoadImageFromFile."""

import numpy as np
import pytest
from mmdet.registry import TRANSFORMS
from mmengine.registry import init_default_scope

from dicom_bytes import IMPLICIT, film
from film_bytes import UPRIGHT, encoded

DEEP = UPRIGHT.astype(np.uint16) * 16
IDENTITY = dict(WindowCenter="2040", WindowWidth="4080", VOILUTFunction="LINEAR_EXACT")  # 16 stored values to a grey


@pytest.mark.parametrize(
    ("data", "needs"),
    [
        (encoded(UPRIGHT, "PNG"), "PIL"),
        (film(DEEP, **IDENTITY), "pydicom"),
        (film(DEEP, IMPLICIT, with_preamble=False, **IDENTITY), "pydicom"),
        (film(4080 - DEEP, PhotometricInterpretation="MONOCHROME1", **IDENTITY), "pydicom"),
    ],
    ids=["PNG", "DICOM", "DICOM without preamble", "MONOCHROME1"],
)
def test_load_image_from_file(data, needs, tmp_path):
    pytest.importorskip(needs)
    init_default_scope("mmdet")
    path = tmp_path / "001"
    path.write_bytes(data)
    load = TRANSFORMS.build(dict(type="LoadImageFromFile", backend_args=dict(backend="radiograph")))
    loaded = load(dict(img_path=str(path)))
    np.testing.assert_array_equal(loaded["img"], np.repeat(UPRIGHT[..., None], 3, axis=2))
    assert loaded["ori_shape"] == UPRIGHT.shape
