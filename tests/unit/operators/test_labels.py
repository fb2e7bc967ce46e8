from __future__ import annotations

import csv
from contextlib import asynccontextmanager
from decimal import Decimal
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, ObjectStoragePath

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotAuthError,
    CyTechBotError,
    CyTechBotFieldError,
    CyTechBotRequestError,
    CyTechBotStorageError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.api.records import WriteOutcome
from airflow_provider_cytechbot.bulk import job
from airflow_provider_cytechbot.operators.labels import MAX_LISTED, CyTechBotAssignLabelsOperator, _listed

ASSIGNED = WriteOutcome(changed=True, message=None)
LABELS = [{"label_id": "5", "label_name": "VIP"}, {"label_id": "10", "label_name": "Dog people"}]


@pytest.fixture(autouse=True)
def page(hook):
    hook.answers["get_all_labels"] = LABELS


def assign(**fields):
    if not fields.keys() & {"rows", "path", "sql"}:
        fields.setdefault("subscriber_id", "111")
    return CyTechBotAssignLabelsOperator(task_id="t", page_id="9", **fields)


def sent(hook):
    return [
        (fields["subscriber_id"], fields["label_ids"])
        for name, fields in hook.calls
        if name == "assign_label"
    ]


class TestLabels:
    @pytest.mark.parametrize(
        "label_ids", [["5", "10"], [5, 10], "5,10", " 5 , 10 ", ["5", "10", "5"], ("5", 10)]
    )
    def test_labels_are_assigned_by_id(self, run, hook, label_ids):
        assert run(assign(label_ids=label_ids)) == "111"
        assert sent(hook) == [("111", "5,10")]
        assert hook.count("get_all_labels") == 1

    def test_a_single_integer_id_is_accepted(self, run, hook):
        run(assign(label_ids=5))
        assert sent(hook) == [("111", "5")]

    def test_unknown_ids_fail_before_any_write(self, run, hook):
        with pytest.raises(CyTechBotRequestError) as raised:
            run(assign(label_ids=["5", "55", "56"]))
        assert isinstance(raised.value, AirflowFailException)
        assert "'label_ids' names labels that page 9 does not have: '55', '56'." in str(raised.value)
        assert "It has: 'Dog people' (10), 'VIP' (5)." in str(raised.value)
        assert sent(hook) == []

    @pytest.mark.parametrize("names", ["VIP", ["VIP"], ["VIP", "VIP"]])
    def test_labels_are_assigned_by_name(self, run, hook, names):
        run(assign(label_names=names))
        assert sent(hook) == [("111", "5")]

    def test_the_order_of_names_does_not_matter(self, run, hook):
        run(assign(label_names=["Dog people", "VIP"]))
        run(assign(label_names=["VIP", "Dog people"]))
        assert [set(label_ids.split(",")) for _, label_ids in sent(hook)] == [{"5", "10"}, {"5", "10"}]

    @pytest.mark.parametrize("names", [2024, [2024]])
    def test_a_number_as_name_is_refused(self, run, names):
        with pytest.raises(CyTechBotFieldError, match=r"must be text, not int.* tojson"):
            run(assign(label_names=names))

    def test_the_error_of_an_unknown_name_lists_the_known_names(self, run, hook):
        with pytest.raises(CyTechBotRequestError) as raised:
            run(assign(label_names=["VIP", "Vip"]))
        assert "does not have: 'Vip'." in str(raised.value)
        assert "'Dog people' (10), 'VIP' (5)" in str(raised.value)
        assert sent(hook) == []

    def test_an_unknown_name_on_a_page_without_labels(self, run, hook):
        hook.answers["get_all_labels"] = []
        with pytest.raises(CyTechBotRequestError, match="It has: none"):
            run(assign(label_names="VIP"))

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"label_ids": ["5"], "label_names": ["VIP"]},
            {"label_ids": ["5"], "rows": ["1"], "subscriber_id": "1"},
            {"label_ids": ["5"], "subscriber_id": None},
            {"label_ids": ["5"], "rows": ["1"], "path": "/tmp/rows.csv"},
            {"label_ids": ["5"], "rows": ["1"], "sql_conn_id": "db"},
            {"label_ids": ["5"], "sql": "SELECT 1"},
            {"label_ids": ["5"], "subscriber_id": "1", "report_path": "/tmp/report.csv"},
            {"label_ids": ["5"], "subscriber_id": "1", "where": {"a": "b"}},
            {"label_ids": ["5"], "subscriber_id": "1", "plan_only": True},
            {"label_ids": ["5"], "rows": ["1"], "on_error": "ignore"},
            {"label_ids": ["5"], "rows": ["1"], "max_concurrency": 0},
            {"label_ids": ["5"], "rows": ["1"], "max_concurrency": 101},
            {"label_ids": ["5"], "rows": ["1"], "max_concurrency": True},
            {"label_ids": ["5"], "rows": ["1"], "columns": {"label_ids": "labels"}},
            {"label_ids": ["5"], "rows": ["1"], "columns": {"nothing": "labels"}},
            {"label_ids": ["5"], "rows": ["1"], "columns": ["subscriber_id"]},
            {"label_ids": ["5"], "rows": ["1"], "columns": 1},
            {"label_ids": ["5"], "rows": ["1"], "columns": "label_ids"},
            {"label_ids": ["5"], "rows": ["1"], "where": ["subscriber_id"]},
            {"label_ids": ["5"], "rows": ["1"], "where": {"answer": "Dog"}},
            {"label_ids": ["5"], "rows": [{"id": "1"}]},
            {"label_ids": ["5"], "rows": [{"subscriber_id": "1"}], "where": {"answer": "Dog"}},
            {"label_ids": ["5"], "rows": "1,2"},
            {"label_ids": ["5"], "rows": {"subscriber_id": "1"}},
            {"label_ids": ["5"], "rows": 5},
            {"label_ids": ["5"], "path": "{'uris': []}"},
            {"label_ids": ["5"], "path": {"rows": 5}},
            {"label_ids": ["5"], "rows": ["1"], "report_path": "/tmp/report.json"},
            {"label_ids": ["5"], "rows": ["1"], "report_path": "/tmp/report"},
            {"label_ids": ["5"], "rows": ["1"], "max_new_labels": -1},
            {"label_ids": []},
            {"label_ids": ""},
            {"label_names": []},
            {"label_names": ""},
            {"label_names": ["VIP", " "]},
            {"label_names": [None]},
            {"label_names": 5.5},
            {"label_names": b"VIP"},
            {"label_names": {"VIP": 1}},
            {"label_ids": [5.5]},
            {"label_ids": {"5": 1}},
        ],
    )
    def test_invalid_parameters_fail_at_once(self, run, hook, fields):
        with pytest.raises(CyTechBotFieldError) as raised:
            run(assign(**fields))
        assert isinstance(raised.value, AirflowFailException)
        assert sent(hook) == []

    @pytest.mark.parametrize("text", ["['5', '10']", "[5, 10]", '["VIP"]', "[]", " ['a'] "])
    @pytest.mark.parametrize("name", ["label_ids", "label_names", "rows"])
    def test_a_list_rendered_as_text_is_refused(self, run, hook, name, text):
        fields = {"label_ids": ["5"]} if name == "rows" else {}
        with pytest.raises(CyTechBotFieldError, match="render_template_as_native_obj") as raised:
            run(assign(**fields, **{name: text}, create_missing=True))
        assert f"If it is one name, pass [{text.strip()!r}]." in str(raised.value)
        assert hook.calls == []


class TestCreateMissing:
    @pytest.fixture(autouse=True)
    def server(self, hook):
        """A server that creates labels."""
        self.labels = list(LABELS)

        def create(fields):
            self.labels = [*self.labels, {"label_id": "11", "label_name": fields["label_name"]}]
            return "11"

        hook.answers |= {"get_all_labels": lambda _: self.labels, "create_label": create}

    @pytest.mark.parametrize("create_missing", [True, "True", "true"])
    def test_only_missing_labels_are_created(self, run, hook, create_missing):
        run(assign(label_names=["New", "VIP", "New"], create_missing=create_missing))
        assert hook.count("create_label") == 1
        assert sent(hook) == [("111", "11,5")]

    @pytest.mark.parametrize("create_missing", [False, "False", "false", " False "])
    def test_the_text_false_is_false(self, run, hook, create_missing):
        with pytest.raises(CyTechBotRequestError, match="does not have: 'New'"):
            run(assign(label_names="New", create_missing=create_missing))
        assert hook.count("create_label") == 0

    @pytest.mark.parametrize("create_missing", ["", "None", None, "yes", 1])
    def test_a_value_other_than_true_or_false_is_refused(self, run, create_missing):
        with pytest.raises(CyTechBotFieldError, match="must be true or false"):
            run(assign(label_names="New", create_missing=create_missing))

    def test_a_label_created_by_another_task_meanwhile_is_used(self, run, hook):
        def field_error(fields):
            self.labels = [*self.labels, {"label_id": "12", "label_name": fields["label_name"]}]
            return CyTechBotRequestError("(#100) Label name already exists.")

        hook.answers["create_label"] = field_error
        run(assign(label_names="New", create_missing=True))
        assert sent(hook) == [("111", "12")]

    def test_the_older_of_two_labels_with_one_name_is_used(self, run, hook):
        def accept_both(fields):
            self.labels = [
                {"label_id": "100", "label_name": "New"},
                {"label_id": "99", "label_name": "New"},
                *self.labels,
            ]
            return "100"

        hook.answers["create_label"] = accept_both
        run(assign(label_names="New", create_missing=True))
        assert sent(hook) == [("111", "99")]

    def test_a_new_label_that_is_not_listed_yet_is_used(self, run, hook):
        hook.answers["create_label"] = "11"
        run(assign(label_names="New", create_missing=True))
        assert sent(hook) == [("111", "11")]

    def test_after_a_lost_response_the_label_is_looked_up(self, run, hook, lost):
        def create_and_lose(fields):
            self.labels = [*self.labels, {"label_id": "13", "label_name": "New"}]
            return lost()

        hook.answers["create_label"] = create_and_lose
        run(assign(label_names="New", create_missing=True))
        assert sent(hook) == [("111", "13")]

    def test_after_a_lost_response_without_a_label_the_task_fails_at_once(self, run, hook, lost):
        hook.answers["create_label"] = lost()
        with pytest.raises(CyTechBotAmbiguousWriteError) as raised:
            run(assign(label_names="New", create_missing=True))
        assert isinstance(raised.value, AirflowFailException)
        assert sent(hook) == []

    def test_after_a_lost_response_and_a_failed_lookup_the_task_fails_at_once(
        self, run, hook, lost, not_sent
    ):
        hook.answers |= {"create_label": lost(), "get_all_labels": (LABELS, not_sent())}
        with pytest.raises(CyTechBotAmbiguousWriteError):
            run(assign(label_names="New", create_missing=True))

    @pytest.mark.parametrize("name", ["vip", " ViP "])
    def test_a_name_that_the_server_treats_as_equal_is_used(self, run, hook, name, caplog):
        caplog.set_level("INFO")
        hook.answers["create_label"] = CyTechBotRequestError("(#100) Label name already exists.")
        run(assign(label_names=name, create_missing=True))
        assert sent(hook) == [("111", "5")]
        assert (
            f"The page has no label {name.strip()!r}; using 'VIP', which the server treats as equal: id 5"
            in caplog.text
        )

    def test_spaces_around_a_name_are_ignored(self, run, hook):
        run(assign(label_names=[" VIP ", "VIP"], create_missing=True))
        assert sent(hook) == [("111", "5")]
        assert hook.count("create_label") == 0

    def test_a_refused_create_fails_the_task(self, run, hook):
        hook.answers["create_label"] = CyTechBotRequestError("No Enabled Bot Found")
        with pytest.raises(CyTechBotRequestError, match="No Enabled Bot Found"):
            run(assign(label_names="New", create_missing=True))


class TestRows:
    @pytest.fixture(autouse=True)
    def transport(self, hook, monkeypatch):
        """Let the bulk engine send through the scripted hook."""
        hook.settings = SimpleNamespace(
            base_url="https://cytechbot.com/api", max_retries=0, requests_per_second=None
        )

        class Sender:
            async def call(self, endpoint, *, max_retries, **fields):
                return hook.call(endpoint, **fields)

        @asynccontextmanager
        async def open_hook(conn_id, settings, take_turn):
            yield Sender()

        monkeypatch.setattr(job, "_open_hook", open_hook)

    def counts(self, manifest):
        return {outcome: number for outcome, number in manifest["counts"].items() if number}

    @pytest.mark.parametrize(
        "rows",
        [
            ["3", "1"],
            [3, 1],
            ("3", "1"),
            {"3": 0, "1": 0}.keys(),
            [{"subscriber_id": "3"}, {"subscriber_id": 1}],
            [{"subscriber_id": Decimal(3)}, {"subscriber_id": " 1 ", "other": 5.5}],
        ],
    )
    def test_rows_of_each_kind_are_sent(self, run, hook, tries, rows):
        manifest = run(assign(label_ids=["5"], rows=rows))
        assert self.counts(manifest) == {"succeeded": 2}
        assert manifest["rows"] == manifest["source_rows"] == 2
        assert manifest["operations"] == {"assign": 2}
        assert sorted(sent(hook)) == [("1", "5"), ("3", "5")]
        assert hook.count("get_all_labels") == 1
        assert tries.xcoms == {}  # Airflow pushes the return value

    def test_an_empty_source_is_a_success(self, run, hook):
        manifest = run(assign(label_ids=["5"], rows=[]))
        assert manifest["rows"] == 0
        assert set(manifest["counts"].values()) == {0}
        assert len(manifest["counts"]) == 7
        assert sent(hook) == []

    def test_rows_can_name_their_labels(self, run, hook):
        rows = [
            {"subscriber_id": "1", "label_names": "VIP"},
            {"subscriber_id": "2", "label_ids": "5, 10"},
            {"subscriber_id": "3", "label_names": ["Dog people", "VIP"], "label_ids": None},
            {"subscriber_id": "4", "label_ids": 10, "label_names": ""},
        ]
        run(assign(rows=rows))
        assert sorted(sent(hook)) == [("1", "5"), ("2", "5,10"), ("3", "5,10"), ("4", "10")]

    def test_a_comma_is_part_of_a_name(self, run, hook):
        hook.answers["get_all_labels"] = [{"label_id": "7", "label_name": "Dogs, cats"}, *LABELS]
        run(assign(rows=[{"subscriber_id": "1", "label_names": "Dogs, cats"}]))
        assert sent(hook) == [("1", "7")]

    def test_columns_can_have_other_names(self, run, hook):
        rows = [{"psid": "1", "segment": "VIP"}]
        run(assign(rows=rows, columns={"subscriber_id": "psid", "label_names": "segment"}))
        assert sent(hook) == [("1", "5")]

    def test_rows_of_one_subscriber_are_sent_as_one_call(self, run, hook, tmp_path):
        rows = [
            {"subscriber_id": "1", "label_names": name} for name in ("VIP", "Dog people", "Nothing", "VIP")
        ]
        with pytest.raises(CyTechBotRequestError):
            run(assign(rows=rows, report_path=str(tmp_path / "report.csv")))
        assert sent(hook) == [("1", "5,10")]
        assert [(line["row"], line["outcome"]) for line in report(tmp_path)] == [
            ("1", "succeeded"),
            ("2", "succeeded"),
            ("3", "invalid"),
            ("4", "succeeded"),
        ]

    @pytest.mark.parametrize(
        "row",
        [
            "2.49945E+16",
            "2,49945E+16",
            "24994546734902201.0",
            24994546734902201.0,
            float("nan"),
            Decimal("1.5"),
            None,
            "",
            "0",
            "1 2",
            "1,2",
            True,
            b"1",
            ["1"],
            {"subscriber_id": None},
            {"subscriber_id": 2.5e16},
            {"subscriber_id": "1", "label_ids": "5"},
        ],
    )
    def test_an_invalid_row_does_not_stop_the_others(self, run, hook, row, tries):
        fields = {"label_ids": ["5"]}
        if isinstance(row, dict) and "label_ids" in row:
            fields, row = {}, row | {"label_names": "VIP"}
        with pytest.raises(CyTechBotRequestError) as raised:
            run(assign(rows=[row, {"subscriber_id": "7", "label_ids": "5"}], **fields))
        assert isinstance(raised.value, AirflowFailException)
        assert sent(hook) == [("7", "5")]
        assert self.counts(tries.xcoms["return_value"]) == {"succeeded": 1, "invalid": 1}

    @pytest.mark.parametrize(
        "labels",
        [
            {"label_names": "No such label"},
            {"label_names": ["VIP", "No such label"]},
            {"label_names": 5},
            {"label_names": [""]},
            {"label_ids": "5,55"},
            {"label_ids": 5.0},
            {"label_ids": []},
            {},
        ],
    )
    def test_a_row_with_unusable_labels_is_invalid(self, run, hook, labels, tries):
        with pytest.raises(CyTechBotRequestError, match="1 invalid"):
            run(assign(rows=[{"subscriber_id": "1", **labels}]))
        assert sent(hook) == []

    def test_fail_fast_sends_nothing_beside_an_invalid_row(self, run, hook, tries):
        with pytest.raises(CyTechBotTransportError):
            run(assign(label_ids=["5"], rows=["1", ""], on_error="fail_fast"))
        assert sent(hook) == []
        assert self.counts(tries.xcoms["return_value"]) == {"invalid": 1, "not_attempted": 1}

    def refuse(self, hook, *ids):
        hook.answers["assign_label"] = lambda fields: (
            CyTechBotRequestError("(#100) ann@example.com is not valid")
            if fields["subscriber_id"] in ids
            else ASSIGNED
        )

    def test_refused_rows_fail_the_task_at_the_end(self, run, hook, tries, tmp_path):
        self.refuse(hook, "2")
        path = str(tmp_path / "report.csv")
        with pytest.raises(CyTechBotRequestError, match=r"3 rows: 2 succeeded, 1 refused.* 2: ") as raised:
            run(assign(label_ids=["5"], rows=["1", "2", "3"], report_path=path))
        assert isinstance(raised.value, AirflowFailException)
        assert "ann@example.com" not in str(raised.value)
        manifest = tries.xcoms["return_value"]
        assert self.counts(manifest) == {"succeeded": 2, "refused": 1}
        assert manifest["report_uri"].endswith(path)
        assert report(tmp_path)[1]["reason"] == "(#100) *** is not valid"

    def test_with_on_error_report_the_task_succeeds(self, run, hook, tries):
        self.refuse(hook, "2")
        manifest = run(assign(label_ids=["5"], rows=["1", "2"], on_error="report"))
        assert self.counts(manifest) == {"succeeded": 1, "refused": 1}

    def test_a_wrong_key_stops_at_once(self, run, hook, tries):
        hook.answers["assign_label"] = (ASSIGNED, CyTechBotAuthError("wrong key."))
        with pytest.raises(CyTechBotAuthError) as raised:
            run(assign(label_ids=["5"], rows=["1", "2", "3"], max_concurrency=1, on_error="report"))
        assert isinstance(raised.value, AirflowFailException)
        assert hook.count("assign_label") == 2
        assert self.counts(tries.xcoms["return_value"]) == {"succeeded": 1, "failed": 1, "not_attempted": 1}

    def test_lost_responses_may_be_retried(self, run, hook, tries):
        lost = CyTechBotTransportError("cut off.")
        hook.answers["assign_label"] = (lost, ASSIGNED)
        with pytest.raises(CyTechBotTransportError, match="cut off") as raised:
            run(assign(label_ids=["5"], rows=["1", "2"]))
        assert not isinstance(raised.value, AirflowFailException)
        assert self.counts(tries.xcoms["return_value"]) == {"succeeded": 1, "failed": 1}

    def test_the_manifest_counts_unchanged_rows(self, run, hook):
        hook.answers["assign_label"] = WriteOutcome(changed=False, message="nothing to do")
        assert self.counts(run(assign(label_ids=["5"], rows=["1"]))) == {"unchanged": 1}

    def test_plan_only_sends_and_creates_nothing(self, run, hook, tmp_path):
        rows = [{"subscriber_id": "1", "label_names": "New"}, {"subscriber_id": "1.5E+3"}]
        manifest = run(
            assign(rows=rows, create_missing=True, plan_only=True, report_path=str(tmp_path / "report.csv"))
        )
        assert self.counts(manifest) == {"invalid": 1, "not_attempted": 1}
        assert manifest["operations"] == {"assign": 1, "none": 1}
        assert [name for name, _ in hook.calls] == ["get_all_labels"]
        assert [line["outcome"] for line in report(tmp_path)] == ["not_attempted", "invalid"]

    def test_the_digest_of_a_plan_does_not_depend_on_the_order(self, run):
        def digest(*rows, **fields):
            return run(assign(label_ids=["5"], rows=rows, plan_only=True, **fields))["plan_digest"]

        assert digest("1", "2") == digest("2", "1", "2")
        assert digest("1", "2") != digest("1", "3")

    def test_labels_of_rows_are_created_once_before_the_first_call(self, run, hook):
        hook.answers["create_label"] = lambda fields: {"New": "21", "Other": "22"}[fields["label_name"]]
        rows = [{"subscriber_id": str(number), "label_names": name} for number, name in
                enumerate(["New", "Other", "New", "VIP"], 1)]  # fmt: skip
        run(assign(rows=rows, create_missing=True))
        assert sorted(sent(hook)) == [("1", "21"), ("2", "22"), ("3", "21"), ("4", "5")]
        assert hook.count("create_label") == 2

    @pytest.mark.parametrize("limit", [0, 2, "2"])
    def test_too_many_new_labels_fail_before_anything_is_sent(self, run, hook, limit):
        rows = [{"subscriber_id": str(number), "label_names": f"New {number}"} for number in range(1, 9)]
        with pytest.raises(CyTechBotFieldError, match="max_new_labels"):
            run(assign(rows=rows, create_missing=True, max_new_labels=limit))
        assert {name for name, _ in hook.calls} == {"get_all_labels"}

    def test_where_filters_rows_by_column(self, run, hook):
        rows = [
            {"subscriber_id": "1", "question_id": 46, "answer": "Dog"},
            {"subscriber_id": "2", "question_id": "46", "answer": "Cat"},
            {"subscriber_id": "3", "question_id": "46", "answer": "Bird"},
            {"subscriber_id": "4", "question_id": "47", "answer": "Dog"},
            {"subscriber_id": None, "question_id": "48", "answer": None},
        ]
        where = {"question_id": "46", "answer": ["Dog", "Cat"]}
        manifest = run(assign(label_ids=["5"], rows=rows, where=where))
        assert sorted(sent(hook)) == [("1", "5"), ("2", "5")]
        assert (manifest["rows"], manifest["source_rows"]) == (2, 5)

    def test_a_file_can_be_sent_again_with_its_report(self, run, hook, tmp_path):
        self.refuse(hook, "2")
        path = tmp_path / "rows.csv"
        path.write_text("subscriber_id\n1\n2\n2.5E+16\n3\n")
        first = str(tmp_path / "report.csv")
        run(assign(label_ids=["5"], path=str(path), report_path=first, on_error="report"))
        hook.calls.clear()
        hook.answers["assign_label"] = ASSIGNED
        path.write_text("subscriber_id\n1\n2\n25000000000000001\n3\n4\n")
        manifest = run(assign(label_ids=["5"], path=str(path), retry_report=first))
        assert sent(hook) == [("2", "5")]
        assert (manifest["rows"], manifest["source_rows"]) == (1, 5)

    def test_the_manifest_of_an_export_is_a_source(self, run, hook, tmp_path):
        for part in (1, 2):
            (tmp_path / f"{part}.jsonl").write_text(f'{{"subscriber_id": "{part}"}}\n')
        uris = [f"file://{tmp_path}/1.jsonl", f"file://{tmp_path}/2.jsonl"]
        run(assign(label_ids=["5"], path={"uris": uris, "rows": 2}))
        assert sorted(sent(hook)) == [("1", "5"), ("2", "5")]

    def test_an_xcom_that_cannot_be_written_does_not_hide_the_error(self, run, hook, tries, caplog):
        def fail(key, value):
            raise RuntimeError("the API server is gone")

        tries.ti.xcom_push = fail
        self.refuse(hook, "1")
        with pytest.raises(CyTechBotRequestError, match="1 refused"):
            run(assign(label_ids=["5"], rows=["1"]))
        assert "The manifest could not be written as XCom (RuntimeError)" in caplog.text

    def test_no_xcom_with_do_xcom_push_false(self, run, hook, tries):
        self.refuse(hook, "1")
        with pytest.raises(CyTechBotRequestError):
            run(assign(label_ids=["5"], rows=["1"], do_xcom_push=False))
        assert tries.xcoms == {}

    def test_labels_of_an_earlier_run_are_not_assigned_again(self, run, hook, tries, tmp_path):
        fields = {"rows": ["1", "2"], "state_path": str(tmp_path / "state")}
        run(assign(label_ids=["5"], **fields))
        hook.calls.clear()
        tries.ti.run_id = "run 2"
        manifest = run(assign(label_ids="5", **fields))
        assert self.counts(manifest) == {"unchanged": 2}
        assert manifest["state_uri"] == str(tmp_path / "state")
        assert sent(hook) == []
        tries.ti.run_id = "run 3"
        assert self.counts(run(assign(label_ids=["5", "10"], **fields))) == {"succeeded": 2}
        hook.calls.clear()
        tries.ti.run_id = "run 4"
        assert self.counts(run(assign(label_ids=["5", "10"], full_refresh=True, **fields))) == {
            "succeeded": 2
        }
        assert sorted(sent(hook)) == [("1", "5,10"), ("2", "5,10")]

    def test_a_state_belongs_to_one_page(self, run, tmp_path):
        fields = {"label_ids": ["5"], "rows": ["1"], "state_path": str(tmp_path / "state")}
        run(assign(**fields))
        with pytest.raises(
            CyTechBotStorageError, match=r"page_id 9, but this task needs one of .*page_id 10"
        ):
            run(CyTechBotAssignLabelsOperator(task_id="t", page_id="10", **fields))

    def test_shards_divide_the_rows(self, run, hook):
        rows = [str(each) for each in range(1, 51)]
        manifests = [run(assign(label_ids="5", rows=rows, shards="4", shard=number)) for number in range(4)]
        assert sum(manifest["rows"] for manifest in manifests) == 50
        assert {manifest["source_rows"] for manifest in manifests} == {50}
        assert sorted(subscriber for subscriber, _ in sent(hook)) == sorted(rows)

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"shards": 0}, "'shards' must be a whole number from 1 to"),
            ({"shards": 2.5}, "'shards'"),
            ({"shards": True}, "'shards'"),
            ({"shards": 2, "shard": 2}, "'shard' must be a whole number from 0 to 1"),
            ({"shard": 1}, "'shard' must be a whole number from 0 to 0"),
            ({"shards": 2, "shard": -1}, "'shard'"),
            ({"shards": 2, "shard": None}, "'shard'"),
            ({"full_refresh": "perhaps"}, "'full_refresh'"),
            ({"state_path": " "}, "'state_path' is empty"),
        ],
    )
    def test_contradictory_parameters_fail_before_anything_is_sent(self, run, hook, fields, message):
        with pytest.raises(CyTechBotError, match=message):
            run(assign(label_ids="5", rows=["1"], **fields))
        assert sent(hook) == []

    @pytest.mark.parametrize("name", ["report_path", "state_path"])
    def test_a_path_may_be_an_object(self, run, tmp_path, name):
        path = ObjectStoragePath(f"file://{tmp_path}/there.csv")
        manifest = run(assign(label_ids="5", rows=["1"], **{name: path}))
        assert f"{tmp_path}/there.csv" in manifest[name.replace("path", "uri")]

    @pytest.mark.parametrize("name", ["report_path", "state_path"])
    @pytest.mark.parametrize("text", ["{flow_campaign_id}", "{shard}", "{}", "{{ }", "a{ds}b"])
    def test_a_placeholder_in_a_path_is_refused(self, run, hook, tmp_path, name, text):
        with pytest.raises(CyTechBotError, match=rf"{name}' holds .*Nothing is replaced there"):
            run(assign(label_ids="5", rows=["1"], **{name: f"{tmp_path}/{text}.csv"}))
        assert sent(hook) == []
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("name", ["path", "report_path", "state_path"])
    def test_options_of_a_path_are_refused(self, run, hook, tmp_path, name):
        path = ObjectStoragePath(f"file://{tmp_path}/there.csv", auto_mkdir=True)
        source = {} if name == "path" else {"rows": ["1"]}
        with pytest.raises(CyTechBotStorageError, match=r"options that Airflow does not use \(auto_mkdir\)"):
            run(assign(label_ids="5", **source, **{name: path}))
        assert sent(hook) == []


def report(folder):
    with (folder / "report.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_long_list_is_shortened():
    texts = [str(number) for number in range(MAX_LISTED + 5)]
    assert _listed(texts).endswith(f"{MAX_LISTED - 1} and 5 more")
    assert _listed(texts[:MAX_LISTED]).endswith(f"{MAX_LISTED - 1}")
