from __future__ import annotations

import pytest

from tests.html_reading import read_html


def test_finds_elements_and_their_text():
    root = read_html(b"<main><h1 id=a>One <i>two</i></h1><style>x</style><br><p>3 &lt; 4</p></main>")
    assert [each.tag for each in root.all()] == ["main", "h1", "i", "style", "br", "p"]
    assert root.all("h1")[0].attributes == {"id": "a"}
    assert root.text == "One two 3 < 4"


@pytest.mark.parametrize("page", ["<p>", "<p><i></p>", "</p>"])
def test_refuses_elements_that_are_not_closed(page):
    with pytest.raises(AssertionError):
        read_html(page)
