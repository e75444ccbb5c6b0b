"""Damaged files for hypothesis tests; ``HIPDET_FUZZ=100`` tries 100 times as many as a run of the tests does."""

import json
import os
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

SLOWEST = timedelta(seconds=30)  # of one example, on a busy machine
JUNK = (
    *(b"", b'"', b"'", b"null", b"true", b"[]", b"{}", b"-1", b"0", b"1e999", b"1e400", b"1" * 400, b"NaN", b"<", b">"),
    *(b"</", b"&", b"&amp;", b"<!--", b"<![CDATA[", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\x1b[2J", b"\n"),
    *(b"\r", b"\t", b",", b";", b":", b"\\", rb"\ud800", rb"\u0000", b"..", b"../", b"%2e%2e%2f", b"[" * 2000),
    *(b'{"a":' * 500, b"<a>" * 500, b"x" * 3000, b"=cmd()|x", b"\xe2\x80\xa8", b"sep=;\n", b"#", b" ", b"9" * 30),
)
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 500), st.floats(), st.text(max_size=4), st.just(10**400), st.just(10**30),
    st.sampled_from(["", " ", "hip", "a.jpg", "../a.jpg", "/a", "a\0", "a\x1b[2J", "a\n", "x" * 2000, "1", "\u2028", "%FF"]),
    st.lists(st.integers(-5, 400), max_size=5), st.just({}), st.just([[]]), st.just({"a": [1]}), st.just(...),
)  # fmt: skip


def examples(count):
    """Settings for a test with `count` examples, or more of them, each in bounded time."""
    return settings(
        max_examples=count * int(os.environ.get("HIPDET_FUZZ", "1")),
        deadline=SLOWEST,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@st.composite
def damaged(draw, content):
    """The bytes `content` with up to 4 places replaced, removed, filled, repeated or swapped."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from([0, 1, 2, 5, 12, 60, 10**6])))
        junk = draw(st.one_of(st.sampled_from(JUNK), st.binary(max_size=6), st.just(content[start:end] * 2)))
        content = content[:start] + junk + content[end:]
    return content


def places(value, path=()):
    """Every place of a JSON value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in entries:
        yield (*path, key)
        yield from places(child, (*path, key))


@st.composite
def forged(draw, content):
    """The JSON text `content` with up to 3 of its values replaced by odd ones, or left out."""
    document = json.loads(content)
    for _ in range(draw(st.integers(1, 3))):
        every = list(places(document))
        if not every:
            break
        *parents, last = draw(st.sampled_from(every))
        parent = document
        for key in parents:
            parent = parent[key]
        value = draw(ODD)
        if value is not ...:
            parent[last] = value if not isinstance(value, (list, dict)) else json.loads(json.dumps(value))
        else:
            del parent[last]
    return json.dumps(document).encode("utf-8", "surrogatepass")


def spoiled(content):
    """`content`, a small sound file, in any state: other values, other bytes, or only bytes."""
    forms = [damaged(content), st.binary(max_size=60)]
    if content.lstrip()[:1] in (b"{", b"["):
        forms.insert(0, forged(content))
    return st.one_of(forms)
