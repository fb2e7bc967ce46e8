from __future__ import annotations

from airflow_provider_cytechbot.operators.page_labels import PageLabels


def test_the_older_of_two_labels_with_one_name_is_used(hook):
    hook.answers["get_all_labels"] = [
        {"label_id": "1000", "label_name": "VIP"},
        {"label_id": "999", "label_name": "VIP"},
        {"label_id": "1001", "label_name": None},
    ]
    labels = PageLabels(hook, "9")
    assert labels.id_of == {"VIP": "999", "": "1001"}
    assert labels.name_of == {"999": "VIP", "1000": "VIP", "1001": ""}


def test_labels_are_read_once(hook):
    hook.answers["get_all_labels"] = []
    PageLabels(hook, "9")
    assert hook.calls == [("get_all_labels", {"page_id": "9"})]
