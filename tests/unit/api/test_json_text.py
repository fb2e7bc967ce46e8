from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.api.json_text import MAX_NOTICES, clean, decode, find_root, json_type, loads

HTML_NOTICE = (
    "<br />\n<b>Notice</b>:  Undefined index: id in <b>/var/www/api.php</b> on line <b>12</b><br />\n"
)
PLAIN_NOTICE = "\nNotice: Undefined variable: x in /var/www/api.php on line 5\n"
BRACKETS = '\nWarning: Illegal offset ["id"] {"a":[]} null in /var/www/[x]/{y}.php on line 7\n'
FRAMEWORK_NOTICE = """
<div style="border:1px solid #990000;padding-left:20px;margin:0 0 10px 0;">

<h4>A PHP Error was encountered</h4>

<p>Severity: 8192</p>
<p>Message:  Creation of dynamic property {"x"}</p>
<p>Filename: controllers/Api.php</p>
<p>Line Number: 123</p>

<p>Backtrace:</p>
<p style="margin-left:10px">File: /var/www/index.php<br />Line: 315<br />Function: require_once</p>
</div>"""
XDEBUG_NOTICE = (
    "<br />\n<font size='1'><table class='xdebug-error'><tr><th>( ! ) Deprecated: strlen() in C:\\api.php "
    "on line <i>5</i></th></tr>\n<tr><td>{main}( )</td><td>..\\api.php:0</td></tr>\n</table></font>\n"
)
BEFORE = {
    "nothing": "",
    "space": " \r\n\t",
    "BOM": "\ufeff",
    "BOMs": "\ufeff\ufeff\ufeff",
    "BOM behind a line": "\r\n\ufeff\n\ufeff",
    "html notice": HTML_NOTICE,
    "plain notice": PLAIN_NOTICE,
    "PHP log notice": "PHP Warning:  x in /x.php on line 3\n",
    "notice on the same line": "Notice: x in /x.php on line 3 ",
    "notice without a line's end": "Notice: x in /x.php on line 3",
    "several": HTML_NOTICE * 3 + PLAIN_NOTICE * 2,
    "brackets": BRACKETS,
    "brackets in the second": PLAIN_NOTICE + BRACKETS,
    "brackets on a line of the second": PLAIN_NOTICE + 'Warning: bad JSON\n{"a": 1}\n in /x.php on line 9\n',
    "framework's notice": FRAMEWORK_NOTICE,
    "framework's notices": FRAMEWORK_NOTICE + BRACKETS + FRAMEWORK_NOTICE + "\n",
    "xdebug's notice": XDEBUG_NOTICE,
    "BOM and notice": "\ufeff" + PLAIN_NOTICE,
    "notice and BOM": PLAIN_NOTICE + "\ufeff",
}
VALUES = [
    '{"status": "error", "message": "Notice: on line 5"}',
    '[{"id":"1","flow_name":"[\\"x\\"] on line 5\\n{}"}]',
    "{}",
    "[]",
    "[[]]",
    '{"data":{"1":[]}}',
    "null",
    "[\n {}\n]",
    "{ }",
]


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
@pytest.mark.parametrize("value", VALUES)
def test_json_is_found_after_notices_of_the_server(before, value):
    text = decode((before + value + "\n").encode())
    assert loads(text) == json.loads(value)
    assert text[find_root(text) :].strip() == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "<html><body>{}</body></html>",
        "<!DOCTYPE html><html>" + PLAIN_NOTICE + "{}",
        'Hello {"a": 1}',
        'Notice: no such thing {"a": 1}',
        'on line 5\n{"a": 1}',
        PLAIN_NOTICE + 'and then {"a": 1}',
        PLAIN_NOTICE + "<p>Warning to all</p>\n{}",
        " " + PLAIN_NOTICE + "x" * MAX_NOTICES + "\n{}",
        "not null",
    ],
    ids=range(11),
)
def test_other_text_before_the_json_is_refused(text):
    assert find_root(text) is None
    with pytest.raises(ValueError, match="Expecting value"):
        loads(text)


@pytest.mark.parametrize(
    "text", ["{", '{"a": 1', "[1,", '{"a": 1}}', '{"a": 1} x', "{}\x00", PLAIN_NOTICE + "{} x"]
)
def test_truncated_json_or_text_after_it_is_refused(text):
    with pytest.raises(ValueError, match=r"Expecting|Extra|Unterminated"):
        loads(text)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_nan_and_infinity_are_refused(constant):
    with pytest.raises(ValueError, match=r"is not JSON|Expecting value"):
        loads(f'{{"a": {constant}}}')


@pytest.mark.parametrize("number", ["24994546734902201", "112.350", "-0", "1E400", "0.1", "9" * 10000])
def test_numbers_stay_the_text_that_was_sent(number):
    assert loads(f"[{number}]") == [number]


def test_nested_too_deeply_is_an_error_of_its_own():
    with pytest.raises(RecursionError):
        loads("[" * 100_000)


def test_invalid_utf_8_is_replaced_and_the_rest_is_read():
    assert loads(decode(b"\xef\xbb\xbf\nNotice: caf\xe9 \xff in x on line 5\n{}")) == {}


def as_text(value):
    """Return a JSON value as it is read here: numbers as text."""
    if isinstance(value, dict):
        return {name: as_text(each) for name, each in value.items()}
    if isinstance(value, list):
        return [as_text(each) for each in value]
    return value if isinstance(value, str | bool) or value is None else json.dumps(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@given(
    before=st.sampled_from(list(BEFORE.values())),
    value=st.lists(st.dictionaries(st.text(), JSON)) | st.dictionaries(st.text(), JSON),
    ascii_only=st.booleans(),
)
def test_any_json_is_found_after_a_notice(before, value, ascii_only):
    assert loads(before + json.dumps(value, ensure_ascii=ascii_only)) == as_text(value)


@pytest.mark.parametrize(
    "piece", ["notice ", "notice on line 5\n", "[ ", '["', "<b>", "\n", "on line ", "null ", '\n{"', "x>["]
)
def test_a_long_page_is_searched_fast(piece):
    text = "notice on line 5" + piece * (MAX_NOTICES // len(piece))
    started = time.process_time()
    find_root(text)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [("a", "a"), ("\U0001f44d", "\U0001f44d"), ("a\ud83d", "a\ufffd"), ("\udc4d\ud83d!", "\ufffd\ufffd!")],
)
def test_half_surrogate_pairs_are_replaced(text, cleaned):
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    ("body", "name"),
    [("{}", "an object"), ("[]", "a list"), ("1", "text or a number"), ("1.5", "a number"), ("null", "null")],
)
def test_json_type(body, name):
    assert json_type(loads(body)) == name
