from __future__ import annotations

from airflow_provider_cytechbot.api import endpoints
from airflow_provider_cytechbot.hooks.secrets import Secret, hide, hide_fields, reveal


def test_only_reveal_returns_the_value():
    secret = hide("pass-word")
    assert reveal(secret) == "pass-word"
    assert "pass-word" not in f"{secret} {secret!r} {[secret]}"
    assert not hasattr(secret, "__dict__")


def test_none_and_secrets_stay_as_they_are():
    secret = hide("pass-word")
    assert hide(secret) is secret
    assert hide(None) is None
    assert reveal("text") == "text"


def test_only_fields_that_the_endpoint_declares_as_secret_are_hidden():
    fields = hide_fields(endpoints.CREATE_USER, {"name": "Ann", "password": "pass-word"})
    assert fields["name"] == "Ann"
    assert isinstance(fields["password"], Secret)
