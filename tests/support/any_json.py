"""JSON that anyone may have written, for tests that try what a reader does with it."""

import json
from copy import deepcopy

from hypothesis import strategies as st

ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([0, -1, 1e300, 10**400, 2**53, "", "../x", "a\\b", "\0", "\x1b[31m", [], {}, [[[]]]]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def damaged(draw, document):
    """`document` as bytes, with one to three of its entries replaced, removed or added, or a few of its bytes changed."""
    content = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        content = _damaged(draw, content)
    data = json.dumps(content).encode()
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=4)) + data[at + draw(st.integers(0, 4)) :]
    return data


def _damaged(draw, content):
    if not isinstance(content, (dict, list)) or not content or draw(st.integers(0, 4)) == 0:
        return deepcopy(draw(ANY))  # some are shared, and the next turn may change this one
    key = draw(st.sampled_from(list(content) if isinstance(content, dict) else range(len(content))))
    if draw(st.integers(0, 5)) == 0:
        content.pop(key)
    else:
        content[key] = _damaged(draw, content[key])
    return content
