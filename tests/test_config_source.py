"""Source that says what was meant."""

import keyword

from hypothesis import given
from hypothesis import strategies as st

from hipdet.core.configs import WIDTH, Name, as_source

keys = st.from_regex(r"[a-z_]{1,30}", fullmatch=True).filter(lambda key: not keyword.iskeyword(key))
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=40)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.lists(inner, max_size=3).map(tuple), st.dictionaries(keys, inner, max_size=5)
    ),
    max_leaves=30,
)


@given(values)
def test_it_evaluates_to_the_value(value):
    assert eval(as_source(value)) == value


def test_long_values_are_broken_into_lines():
    settings = dict(
        model=dict(name="x" * 60, scales=[1.0, 2.0]), loader=dict(classes=("a",), empty={}, more=["y" * 70])
    )
    text = as_source(settings)
    assert text.splitlines()[0] == "dict("
    assert f"    model=dict(name={'x' * 60!r}, scales=[1.0, 2.0])," in text.splitlines()
    assert max(map(len, text.splitlines())) <= WIDTH
    assert eval(text) == settings


def test_names_are_source():
    films = dict(root="data")
    assert as_source({"**": Name("films"), "file": Name("root + '/a.json'")}) == "dict(**films, file=root + '/a.json')"
    assert eval(as_source({"**": Name("films"), "file": "a"}), dict(films=films)) == dict(root="data", file="a")
