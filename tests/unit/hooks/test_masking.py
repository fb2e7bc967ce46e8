from __future__ import annotations

import logging
import sys

import pytest

from airflow_provider_cytechbot.hooks import masking as secrecy
from airflow_provider_cytechbot.hooks.masking import keep_secret
from airflow_provider_cytechbot.transport.settings import Settings

KEY = 'a b/c+d%e"é'


@pytest.fixture
def masked(monkeypatch):
    masked = []
    monkeypatch.setattr(sys.modules["airflow.providers.common.compat.sdk"], "mask_secret", masked.append)
    return masked


def settings(**fields):
    return Settings("mine", "https://cytechbot.com/api", KEY, **fields)


@pytest.mark.parametrize(
    "form",
    [
        KEY,
        "a%20b%2Fc%2Bd%25e%22%C3%A9",
        "a+b%2Fc%2Bd%25e%22%C3%A9",
        "a%20b%2fc%2bd%25e%22%c3%a9",
        "a+b%2fc%2bd%25e%22%c3%a9",
        "a%20b/c%2Bd%25e%22%C3%A9",
        "a%2520b%252Fc%252Bd%2525e%2522%25C3%25A9",
    ],
)
def test_airflows_masker_gets_the_key_in_every_encoding(masked, form):
    keep_secret(settings())
    assert form in masked


def test_airflows_masker_gets_the_password_of_the_proxy(masked):
    keep_secret(settings(proxy="http://user:p%40ss-word@proxy.example.com"))
    assert {"p%40ss-word", "p@ss-word"} <= set(masked)


def test_without_a_proxy_only_the_key_is_masked(masked):
    keep_secret(settings(proxy="http://proxy.example.com"))
    assert all(masked)
    assert not any("proxy" in each for each in masked)


def test_airflows_masker_masks_the_key():
    from airflow.providers.common.compat.sdk import redact

    keep_secret(Settings("mine", "https://cytechbot.com/api", 'x y/z+1%2"ß'))
    shown = redact('raw x y/z+1%2"ß quoted x%20y%2Fz%2B1%252%22%C3%9F plus x+y%2Fz%2B1%252%22%C3%9F')
    assert shown == "raw *** quoted *** plus ***"


def test_every_logger_of_urllib3_is_filtered():
    import requests  # noqa: F401 - it imports the modules of urllib3 that log

    loggers = {
        module.log.name
        for name, module in sys.modules.items()
        if name.startswith("urllib3") and isinstance(getattr(module, "log", None), logging.Logger)
    }
    known = {name for name in secrecy._LOGGERS_OF_URLS if name.startswith("urllib3")}
    assert loggers - {"urllib3.http2.connection", "urllib3.contrib.pyopenssl"} == known


def test_the_loggers_of_aiohttp_are_filtered():
    from aiohttp.log import client_logger

    assert {client_logger.name, "asyncio"} <= set(secrecy._LOGGERS_OF_URLS)


@pytest.mark.parametrize("logger", secrecy._LOGGERS_OF_URLS)
class TestLoggersOfUrls:
    def test_the_key_is_masked_in_messages(self, logger, caplog):
        keep_secret(settings())
        with caplog.at_level(logging.DEBUG):
            logging.getLogger(logger).debug(
                '%s "%s %s"', "http://x", "GET", "/api/get_contact/?api_key=a+b%2Fc&contact_id=7"
            )
            logging.getLogger(logger).warning("in the text: ?contact_id=7&api_key=a+b%2Fc HTTP/1.1")
            logging.getLogger(logger).debug("Nothing in it but %d%%", 100)
        assert [record.getMessage() for record in caplog.records] == [
            'http://x "GET /api/get_contact/?api_key=***&contact_id=7"',
            "in the text: ?contact_id=7&api_key=*** HTTP/1.1",
            "Nothing in it but 100%",
        ]

    def test_the_filter_is_added_once(self, logger):
        keep_secret(settings())
        keep_secret(settings())
        assert logging.getLogger(logger).filters.count(secrecy._REDACT_SECRETS) == 1

    def test_the_key_is_masked_in_tracebacks(self, logger, caplog):
        keep_secret(settings())
        with caplog.at_level(logging.DEBUG):
            try:
                raise ValueError("unparsed data: 'header a%20b%2Fc%2Bd%25e%22%C3%A9'")
            except ValueError:
                logging.getLogger(logger).warning("Failed to parse headers", exc_info=True)
        shown = logging.Formatter().format(caplog.records[-1])
        assert "unparsed data: 'header ***'" in shown
        assert "Traceback" in shown

    def test_a_traceback_without_a_secret_is_kept(self, logger, caplog):
        keep_secret(settings())
        with caplog.at_level(logging.DEBUG):
            try:
                raise ValueError("something else")
            except ValueError:
                logging.getLogger(logger).warning("Failed", exc_info=True)
        assert caplog.records[-1].exc_info
