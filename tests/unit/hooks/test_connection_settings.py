from __future__ import annotations

import dataclasses
import json
import logging
import os

import certifi
import pytest
from airflow.providers.common.compat.sdk import Connection
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_cytechbot.api.errors import CyTechBotSettingsError
from airflow_provider_cytechbot.connection_form import CONN_FIELDS
from airflow_provider_cytechbot.hooks.connection_settings import read_settings
from airflow_provider_cytechbot.transport.settings import Settings

KEY = 'a b/c+d%e"é'
NO_CHARACTER = pytest.param(
    "\ud800", marks=pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 itself refuses it")
)
PROXY = "http://user:proxy-s%40cret@proxy.example.com:3128"


def settings_of(*, host=None, password=KEY, schema=None, port=None, **extra):
    return read_settings(
        Connection(
            conn_id="mine",
            conn_type="cytechbot",
            host=host,
            password=password,
            schema=schema,
            port=port,
            extra=json.dumps(extra),
        )
    )


def refusal(**fields):
    with pytest.raises(CyTechBotSettingsError) as caught:
        settings_of(**fields)
    error = caught.value
    assert "'mine'" in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None
    for text in (str(error), repr(error), repr(error.args)):
        assert KEY not in text
        assert "s%40cret" not in text
        assert "s@cret" not in text
    return str(error)


class TestDefaults:
    def test_all_defaults(self):
        settings = settings_of()
        assert settings.connection == "mine"
        assert settings.base_url == "https://cytechbot.com/api"
        assert settings.api_key == KEY
        assert settings.timeout == 60
        assert settings.max_retries == 4
        assert settings.requests_per_second is None
        assert settings.server_timezone.key == "UTC"
        assert settings.verify_tls is True
        assert settings.ca_bundle is None
        assert settings.proxy is None
        assert not settings.is_loopback

    @pytest.mark.parametrize("empty", [None, "", "  "])
    def test_an_extra_left_empty_is_saved_as_null_or_empty_and_means_its_default(self, empty):
        assert settings_of(host=empty, schema=empty, **dict.fromkeys(CONN_FIELDS, empty)) == settings_of()

    @pytest.mark.parametrize("extra", [None, "", "{}"])
    def test_an_empty_extra(self, extra):
        connection = Connection(conn_id="mine", conn_type="cytechbot", password=KEY, extra=extra)
        assert read_settings(connection) == settings_of()

    def test_the_form_has_the_fields_that_are_read_and_their_defaults(self):
        assert set(CONN_FIELDS) == {
            *(field.name for field in dataclasses.fields(Settings)[3:]),
            "allow_http",
        }
        defaults = {name: field["schema"]["default"] for name, field in CONN_FIELDS.items()}
        assert settings_of(**defaults) == settings_of()


class TestHost:
    @pytest.mark.parametrize(
        ("host", "base_url"),
        [
            ("cytechbot.com", "https://cytechbot.com/api"),
            ("cytechbot.com/", "https://cytechbot.com/api"),
            ("cytechbot.com/api", "https://cytechbot.com/api"),
            (" cytechbot.com ", "https://cytechbot.com/api"),
            ("CyTechBot.COM", "https://cytechbot.com/api"),
            ("https://cytechbot.com", "https://cytechbot.com/api"),
            ("https://cytechbot.com/", "https://cytechbot.com/api"),
            ("https://cytechbot.com/api", "https://cytechbot.com/api"),
            ("https://cytechbot.com/api/", "https://cytechbot.com/api"),
            ("https://cytechbot.com//api//", "https://cytechbot.com/api"),
            ("HTTPS://CYTECHBOT.COM/API", "https://cytechbot.com/api"),
            ("https://cytechbot.com:/api", "https://cytechbot.com/api"),
            ("https://example.com/chat", "https://example.com/chat/api"),
            ("https://example.com/Chat/api/", "https://example.com/Chat/api"),
            ("https://example.com/api/v2", "https://example.com/api/v2/api"),
            ("https://example.com/myapi", "https://example.com/myapi/api"),
            ("example.com:8443", "https://example.com:8443/api"),
            ("https://example.com:8443/chat/api", "https://example.com:8443/chat/api"),
            ("https://[2001:DB8::1]:8443/api", "https://[2001:db8::1]:8443/api"),
            ("[2001:db8::1]", "https://[2001:db8::1]/api"),
            ("2001:db8::1", "https://[2001:db8::1]/api"),
            ("https://192.0.2.7", "https://192.0.2.7/api"),
            ("http://localhost:8080", "http://localhost:8080/api"),
            ("http://LOCALHOST:8080", "http://localhost:8080/api"),
            ("http://127.0.0.1:8080/chat", "http://127.0.0.1:8080/chat/api"),
            ("http://127.9.9.9/", "http://127.9.9.9/api"),
            ("http://[::1]:8080", "http://[::1]:8080/api"),
            ("https://bücher.example", "https://bücher.example/api"),
        ],
    )
    def test_each_form_of_the_host_is_read(self, host, base_url):
        assert settings_of(host=host).base_url == base_url

    @pytest.mark.parametrize(
        ("fields", "base_url"),
        [
            ({"host": "example.com", "port": 8443}, "https://example.com:8443/api"),
            ({"host": "https://example.com:8443", "port": 8443}, "https://example.com:8443/api"),
            ({"host": "https://example.com:/api", "port": 8443}, "https://example.com:8443/api"),
            ({"host": "https://example.com:8443", "port": 0}, "https://example.com:8443/api"),
            ({"host": "example.com", "port": 0}, "https://example.com/api"),
            ({"host": "::1", "port": 8443}, "https://[::1]:8443/api"),
            ({"port": 8443}, "https://cytechbot.com:8443/api"),
            ({"host": "example.com", "schema": "https"}, "https://example.com/api"),
            ({"host": "localhost", "schema": "http", "port": 80}, "http://localhost:80/api"),
            ({"host": "https://example.com", "schema": "http"}, "https://example.com/api"),
            ({"host": "example.com", "schema": "chat/api/"}, "https://example.com/chat/api"),
            ({"host": "example.com", "schema": "/chat"}, "https://example.com/chat/api"),
        ],
    )
    def test_port_and_schema_fields(self, fields, base_url):
        assert settings_of(**fields).base_url == base_url

    @pytest.mark.parametrize(
        ("host", "reason"),
        [
            ("ftp://example.com", "must begin with https://"),
            ("https://user@example.com", "must not hold a user or password"),
            (f"https://:{KEY.replace('/', '')}@example.com", "must not hold a user or password"),
            ("https://example.com/api?api_key=abcdef", "must not hold a query or fragment"),
            ("https://example.com/#top", "must not hold a query or fragment"),
            ("https://", "has no host name"),
            ("https:///api", "has no host name"),
            ("cyte chbot.com", "has no host name"),
            ("https://example.com:port", "is not a host or URL"),
            ("https://example.com:70000", "is not a host or URL"),
            ("https://[::1", "is not a host or URL"),
        ],
    )
    def test_an_unusable_host_is_refused(self, host, reason):
        text = refusal(host=host)
        assert f"the base URL (its host field) {reason}" in text
        assert "abcdef" not in text

    def test_two_ports_that_differ(self):
        assert "names the port 1, the port field 2" in refusal(host="https://example.com:1", port=2)

    @pytest.mark.parametrize("port", [-1, 70000])
    def test_impossible_port(self, port):
        assert f"impossible port {port}" in refusal(host="example.com", port=port)

    @pytest.mark.parametrize(
        "host",
        [
            "http://cytechbot.com",
            "HTTP://cytechbot.com",
            "http://localhost.evil.com",
            "http://127.0.0.1.nip.io",
            "http://evil.com/localhost",
            "http://0.0.0.0",
            "http://[2001:db8::1]",
            "http://192.168.0.1",
        ],
    )
    def test_plain_http_is_refused_off_loopback(self, host):
        assert "plain http" in refusal(host=host)
        assert "plain http" in refusal(host=host, allow_http=False)
        assert settings_of(host=host, allow_http=True).base_url.startswith("http://")

    def test_plain_http_by_the_schema_field_is_refused_too(self):
        assert "plain http" in refusal(host="example.com", schema="http")

    @pytest.mark.parametrize("host", ["http://localhost@evil.com", "http://evil.com\\@localhost"])
    def test_a_user_in_the_url_is_refused(self, host):
        assert "must not hold a user" in refusal(host=host)

    @pytest.mark.parametrize(
        ("host", "is_loopback"),
        [
            ("https://localhost", True),
            ("http://127.0.0.1:1", True),
            ("http://[::1]", True),
            ("https://localhost.evil.com", False),
            ("https://example.com", False),
        ],
    )
    def test_is_loopback(self, host, is_loopback):
        assert settings_of(host=host).is_loopback is is_loopback


class TestKey:
    @pytest.mark.parametrize("password", [None, "", "  "])
    def test_a_missing_key_is_refused(self, password):
        assert "the API key (its password field) is missing" in refusal(password=password)

    def test_surrounding_white_space_is_removed(self):
        assert settings_of(password=f" {KEY}\n").api_key == KEY

    @pytest.mark.parametrize("character", ["\n", "\x00", "\x7f", NO_CHARACTER])
    def test_control_characters_in_the_key_are_refused(self, character):
        text = refusal(password=f"1-abc{character}def")
        assert "invisible character U+" in text
        assert "abc" not in text

    def test_repr_hides_the_key(self):
        text = repr(settings_of(proxy=PROXY))
        assert "base_url='https://cytechbot.com/api'" in text
        assert "a b" not in text
        assert "cret" not in text


EXTRAS = {
    "timeout": ("2.5", 2.5, 2.5),
    "max_retries": ("7", 7, 7),
    "requests_per_second": ("0.5", 0.5, 0.5),
    "server_timezone": ("Asia/Dhaka", "Asia/Dhaka", "Asia/Dhaka"),
    "verify_tls": ("false", False, False),
    "ca_bundle": (certifi.where(), certifi.where(), certifi.where()),
    "proxy": (PROXY, PROXY, PROXY),
}


@pytest.mark.parametrize(
    "host",
    [
        *(
            "https://https://host",
            "https://http://host",
            "true",
            "None",
            "1",
            "127.1",
            "0x7f000001",
            "-",
            ".",
        ),
        *(
            "0x7f000001",
            "-host",
            "host..com",
            "https://*",
            "host;x",
            "host,host2",
            "http://localhost\\.evil.com",
        ),
        f"{'a' * 64}.com",
    ],
)
def test_a_host_that_none_can_be_is_refused(host):
    assert "has no usable host name" in refusal(host=host)


@pytest.mark.parametrize("folder", ["..", "../api", "a\\b", "<script>", "a b", "a:b", '"'])
def test_a_folder_that_none_can_be_is_refused(folder):
    assert "has a folder that no URL has" in refusal(host=f"https://host/{folder}")
    assert "has a folder that no URL has" in refusal(host="https://host", schema=folder)


def test_a_folder_is_percent_encoded():
    assert settings_of(host="https://host/caf\u00e9").base_url == "https://host/caf%C3%A9/api"
    assert settings_of(host="https://host/caf%C3%A9").base_url == "https://host/caf%C3%A9/api"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, each) for name in ("timeout", "requests_per_second") for each in (1e-9, "1_0", "\u0663")],
        *[("max_retries", each) for each in (1001, "9" * 5000, "\u00b2", "1.0")],
        *[("proxy", each) for each in ("none", "null", "-", "http://http://p", "http://p?x=1", "http://p#f")],
    ],
)
def test_a_value_without_any_use_is_refused(name, value):
    assert f"extra {name!r} must be" in refusal(**{name: value})


class TestExtras:
    @pytest.mark.parametrize("name", EXTRAS)
    def test_text_and_json_types_are_read(self, name):
        as_text, as_type, expected = EXTRAS[name]
        for given in (as_text, as_type):
            assert str(getattr(settings_of(**{name: given}), name)) == str(expected)

    @pytest.mark.parametrize("text", ["true", "True", "TRUE", "yes", "on", "1", "t", 1])
    def test_values_that_mean_true(self, text):
        assert settings_of(verify_tls=text).verify_tls is True

    @pytest.mark.parametrize("text", ["false", "False", "no", "off", "0", "f", 0])
    def test_values_that_mean_false(self, text):
        assert settings_of(verify_tls=text).verify_tls is False

    def test_zero_retries(self):
        assert settings_of(max_retries=0).max_retries == 0

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("timeout", ["soon", "0", 0, -1, "nan", "inf", 86_401, True, [], {}, "1,5"]),
            ("max_retries", ["many", -1, "-1", 1.5, "1.5", True, "٣", "9" * 5000]),
            ("requests_per_second", ["fast", 0, -0.5, "nan"]),
            ("server_timezone", ["Mars/Phobos", "../etc/passwd", "Europe", "a\0b", 5, True, "x" * 300]),
            ("verify_tls", ["maybe", 2, "verify"]),
            ("allow_http", ["maybe"]),
            ("ca_bundle", ["/no/such/file", "/", __file__, "a\0b"]),
            (
                "proxy",
                [
                    "socks5://user:s%40cret@example.com",
                    "http://user:s%40cret@",
                    "http://user:s%40cret@example.com:port",
                    "http://user:s%40cret@[::1",
                ],
            ),
        ],
    )
    def test_an_unreadable_extra_is_refused(self, name, values):
        for value in values:
            assert f"extra {name!r} " in refusal(**{name: value})

    def test_errors_name_the_accepted_values(self):
        assert "must be a number from 0.001 to 86400, not 'soon'" in refusal(timeout="soon")
        assert "such as Asia/Singapore, not 'Mars/Phobos'" in refusal(server_timezone="Mars/Phobos")
        assert "is not a PEM file of certificates" in refusal(ca_bundle=__file__)
        assert "does not exist: '/no/such/file'" in refusal(ca_bundle="/no/such/file")

    def test_a_proxy_without_a_scheme(self):
        assert settings_of(proxy="proxy.example.com:3128").proxy == "http://proxy.example.com:3128"

    def test_one_warning_names_the_unknown_extras_without_values(self, caplog):
        with caplog.at_level(logging.WARNING):
            assert settings_of(time_out="hush", zebra="hush", timeout=5).timeout == 5
        (record,) = caplog.records
        assert (
            record.getMessage()
            == "Connection 'mine' has unknown extras, which are ignored: 'time_out', 'zebra'"
        )

    def test_known_extras_cause_no_warning(self, caplog):
        settings_of(**{name: given for name, (_, given, _) in EXTRAS.items()}, allow_http=True)
        assert not caplog.records

    @pytest.mark.parametrize("extra", ["[]", "5", '"text"'])
    def test_an_extra_that_is_not_an_object_is_refused(self, extra):
        connection = Connection(conn_id="mine", conn_type="cytechbot", password=KEY)
        connection.extra = extra
        with pytest.raises(CyTechBotSettingsError, match=r"'mine'.*its extra is not a JSON object"):
            read_settings(connection)


class TestAsAirflowReadsIt:
    """The same connection as an environment variable, in both notations."""

    @pytest.mark.parametrize(
        ("uri", "base_url"),
        [
            ("cytechbot://:1-key-of-mine@cytechbot.com", "https://cytechbot.com/api"),
            ("cytechbot://:1-key-of-mine@cytechbot.com/", "https://cytechbot.com/api"),
            ("cytechbot://:1-key-of-mine@/", "https://cytechbot.com/api"),
            ("cytechbot://:1-key-of-mine@example.com:8443/chat/api", "https://example.com:8443/chat/api"),
            ("cytechbot://:1-key-of-mine@example.com/chat%2Fapi", "https://example.com/chat/api"),
            (
                "cytechbot://:1-key-of-mine@https%3A%2F%2Fexample.com%3A8443%2FChat%2Fapi/",
                "https://example.com:8443/Chat/api",
            ),
            ("cytechbot://:1-key-of-mine@http%3A%2F%2F127.0.0.1%3A80%2Fapi/", "http://127.0.0.1:80/api"),
        ],
    )
    def test_a_connection_uri_is_read(self, uri, base_url, connect, monkeypatch):
        hook = connect()
        monkeypatch.setenv("AIRFLOW_CONN_CYTECHBOT_DEFAULT", uri)
        assert hook.settings.base_url == base_url
        assert hook.settings.api_key == "1-key-of-mine"

    def test_the_key_of_a_uri_is_unquoted_and_its_extras_are_text(self, connect, monkeypatch):
        hook = connect()
        monkeypatch.setenv(
            "AIRFLOW_CONN_CYTECHBOT_DEFAULT",
            "cytechbot://:a%20b%2Fc%2Bd%25e%22%C3%A9@cytechbot.com/"
            "?timeout=5&max_retries=2&verify_tls=false&requests_per_second=0.5&proxy=&server_timezone=Asia%2FDhaka",
        )
        assert hook.settings == Settings(
            "cytechbot_default",
            "https://cytechbot.com/api",
            KEY,
            timeout=5,
            max_retries=2,
            requests_per_second=0.5,
            verify_tls=False,
            server_timezone=hook.settings.server_timezone,
        )
        assert hook.settings.server_timezone.key == "Asia/Dhaka"

    def test_a_json_connection_is_read(self, connect):
        hook = connect(host="example.com", password=KEY, timeout=5, verify_tls=False, ca_bundle=None)
        assert hook.settings.base_url == "https://example.com/api"
        assert hook.settings.api_key == KEY
        assert hook.settings.timeout == 5
        assert hook.settings.verify_tls is False


class TestProxyInClear:
    @pytest.mark.parametrize("proxy", ["http://proxy.example.com:3128", "proxy.example.com", "10.0.0.1:3128"])
    @pytest.mark.parametrize("host", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:80"])
    def test_plain_http_through_a_proxy_elsewhere_is_refused(self, host, proxy):
        assert "would receive the API key unencrypted" in refusal(host=host, proxy=proxy)
        assert settings_of(host=host, proxy=proxy, allow_http=True).proxy

    @pytest.mark.parametrize("proxy", ["http://127.0.0.1:3128", "localhost:3128"])
    def test_a_proxy_on_this_machine_may_be_used(self, proxy):
        assert settings_of(host="http://127.0.0.1:8080", proxy=proxy).proxy

    def test_https_goes_through_any_proxy(self):
        assert settings_of(host="https://bot.example", proxy="http://proxy.example.com:3128").proxy


@pytest.mark.parametrize(
    "proxy", [True, False, 1, 3128, 1.5, "true", "off", "-1", "http:/x", "http:x", "a\u202eb"]
)
def test_an_invalid_proxy_is_refused(proxy):
    assert "must be the URL of an http proxy" in refusal(proxy=proxy)


@pytest.mark.parametrize(
    "host", ["http:/bot.example", "https//bot.example", "http:bot.example", "HTTPS:/bot.example", "https/bot"]
)
def test_an_incomplete_scheme_is_refused(host):
    assert "must begin with https://" in refusal(host=host)


@pytest.mark.parametrize("character", ["\u202e", "\u200b", "\u2066", "\ufeff", "\u00ad", "\x07"])
def test_invisible_characters_in_the_host_are_refused(character):
    assert "invisible characters" in refusal(host=f"bot{character}.example")
    assert "invisible characters" in refusal(host=f"https://bot.example/a{character}b")


@pytest.mark.parametrize(
    "character",
    ["\ufe0f", "\u034f", "\u3164", "\u2800", "\u115f", "\U000e0101", "\u200d", "\u202e"],
    ids=ascii,
)
def test_characters_that_nobody_sees_are_refused_in_each_field(character):
    assert f"has the invisible character U+{ord(character):04X}" in refusal(password=f"1-k{character}ey")
    assert "invisible characters" in refusal(host=f"https://bot.example/a{character}b")
    assert "must be the URL of an http proxy" in refusal(proxy=f"http://us{character}er@proxy.example:3128")


def test_a_pipe_is_no_ca_bundle(tmp_path):
    os.mkfifo(tmp_path / "ca.pem")  # to open it would take for ever
    assert "is neither a file nor a folder" in refusal(ca_bundle=str(tmp_path / "ca.pem"))
