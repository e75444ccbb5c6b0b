import numpy as np

from hipdet.core.files import plain


def test_plain():
    found = plain(dict(a=np.float64(0.5), b=[np.int64(3), "x"], c=(np.float32(1.5), None), d={"e": np.bool_(True)}))
    assert found == dict(a=0.5, b=[3, "x"], c=(1.5, None), d={"e": True})
    assert [type(found["a"]), type(found["b"][0])] == [float, int]
