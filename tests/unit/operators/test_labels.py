from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_cytechbot.api.errors import (
    CyTechBotAmbiguousWriteError,
    CyTechBotAuthError,
    CyTechBotFieldError,
    CyTechBotRequestError,
    CyTechBotTransportError,
)
from airflow_provider_cytechbot.api.records import WriteOutcome
from airflow_provider_cytechbot.operators.labels import MAX_LISTED, CyTechBotAssignLabelsOperator, _listed

ASSIGNED = WriteOutcome(changed=True, message=None)
LABELS = [{"label_id": "5", "label_name": "VIP"}, {"label_id": "10", "label_name": "Dog people"}]


@pytest.fixture(autouse=True)
def page(hook):
    hook.answers["get_all_labels"] = LABELS


def assign(**fields):
    if "subscriber_ids" not in fields:
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
    def test_by_id(self, run, hook, label_ids):
        assert run(assign(label_ids=label_ids)) == "111"
        assert sent(hook) == [("111", "5,10")]
        assert hook.count("get_all_labels") == 1

    def test_one_id_that_native_rendering_made_a_number(self, run, hook):
        run(assign(label_ids=5))
        assert sent(hook) == [("111", "5")]

    def test_unknown_ids_are_named_before_anything_is_sent(self, run, hook):
        with pytest.raises(CyTechBotRequestError) as raised:
            run(assign(label_ids=["5", "55", "56"]))
        assert isinstance(raised.value, AirflowFailException)
        assert "'label_ids' names labels that page 9 does not have: '55', '56'." in str(raised.value)
        assert "It has: 'Dog people' (10), 'VIP' (5)." in str(raised.value)
        assert sent(hook) == []

    @pytest.mark.parametrize("names", ["VIP", ["VIP"], ["VIP", "VIP"]])
    def test_by_name(self, run, hook, names):
        run(assign(label_names=names))
        assert sent(hook) == [("111", "5")]

    def test_the_order_of_names_does_not_matter(self, run, hook):
        run(assign(label_names=["Dog people", "VIP"]))
        run(assign(label_names=["VIP", "Dog people"]))
        assert [set(label_ids.split(",")) for _, label_ids in sent(hook)] == [{"5", "10"}, {"5", "10"}]

    @pytest.mark.parametrize("names", [2024, [2024]])
    def test_a_name_that_native_rendering_made_a_number_is_refused(self, run, names):
        with pytest.raises(CyTechBotFieldError, match=r"must be text, not int.* tojson"):
            run(assign(label_names=names))

    def test_an_unknown_name_lists_the_known(self, run, hook):
        with pytest.raises(CyTechBotRequestError) as raised:
            run(assign(label_names=["VIP", "Vip"]))
        assert "does not have: 'Vip'." in str(raised.value)
        assert "'Dog people' (10), 'VIP' (5)" in str(raised.value)
        assert sent(hook) == []

    def test_where_there_are_no_labels_at_all(self, run, hook):
        hook.answers["get_all_labels"] = []
        with pytest.raises(CyTechBotRequestError, match="It has: none"):
            run(assign(label_names="VIP"))

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"label_ids": ["5"], "label_names": ["VIP"]},
            {"label_ids": ["5"], "subscriber_ids": ["1"], "subscriber_id": "1"},
            {"label_ids": ["5"], "subscriber_id": None},
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
            {"label_ids": ["5"], "subscriber_ids": ["1", None]},
            {"label_ids": ["5"], "subscriber_ids": ["1", 1e17]},
        ],
    )
    def test_what_cannot_be_meant_fails_at_once(self, run, hook, fields):
        with pytest.raises(CyTechBotFieldError) as raised:
            run(assign(**fields))
        assert isinstance(raised.value, AirflowFailException)
        assert sent(hook) == []

    @pytest.mark.parametrize("text", ["['5', '10']", "[5, 10]", '["VIP"]', "[]", " ['a'] "])
    @pytest.mark.parametrize("name", ["label_ids", "label_names", "subscriber_ids"])
    def test_a_list_that_a_template_made_text_of_is_no_name(self, run, hook, name, text):
        fields = {"label_ids": ["5"]} if name == "subscriber_ids" else {}
        with pytest.raises(CyTechBotFieldError, match="render_template_as_native_obj") as raised:
            run(assign(**fields, **{name: text}, create_missing=True))
        assert f"If it is one name, pass [{text.strip()!r}]." in str(raised.value)
        assert hook.calls == []


class TestCreateMissing:
    @pytest.fixture(autouse=True)
    def server(self, hook):
        """Let create_label do its work."""
        self.labels = list(LABELS)

        def create(fields):
            self.labels = [*self.labels, {"label_id": "11", "label_name": fields["label_name"]}]
            return "11"

        hook.answers |= {"get_all_labels": lambda _: self.labels, "create_label": create}

    @pytest.mark.parametrize("create_missing", [True, "True", "true"])
    def test_makes_what_is_missing_and_only_that(self, run, hook, create_missing):
        run(assign(label_names=["New", "VIP", "New"], create_missing=create_missing))
        assert hook.count("create_label") == 1
        assert sent(hook) == [("111", "11,5")]

    @pytest.mark.parametrize("create_missing", [False, "False", "false", " False "])
    def test_text_of_false_is_false(self, run, hook, create_missing):
        with pytest.raises(CyTechBotRequestError, match="does not have: 'New'"):
            run(assign(label_names="New", create_missing=create_missing))
        assert hook.count("create_label") == 0

    @pytest.mark.parametrize("create_missing", ["", "None", None, "yes", 1])
    def test_other_text_is_refused(self, run, create_missing):
        with pytest.raises(CyTechBotFieldError, match="must be true or false"):
            run(assign(label_names="New", create_missing=create_missing))

    def test_another_task_makes_it_at_the_same_moment(self, run, hook):
        def field_error(fields):
            self.labels = [*self.labels, {"label_id": "12", "label_name": fields["label_name"]}]
            return CyTechBotRequestError("(#100) Label name already exists.")

        hook.answers["create_label"] = field_error
        run(assign(label_names="New", create_missing=True))
        assert sent(hook) == [("111", "12")]

    def test_of_two_that_were_made_both_tasks_take_the_older(self, run, hook):
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

    def test_a_label_that_is_listed_late_is_used_all_the_same(self, run, hook):
        hook.answers["create_label"] = "11"
        run(assign(label_names="New", create_missing=True))
        assert sent(hook) == [("111", "11")]

    def test_a_lost_answer_is_looked_up(self, run, hook, lost):
        def make_and_lose(fields):
            self.labels = [*self.labels, {"label_id": "13", "label_name": "New"}]
            return lost()

        hook.answers["create_label"] = make_and_lose
        run(assign(label_names="New", create_missing=True))
        assert sent(hook) == [("111", "13")]

    def test_a_lost_answer_that_left_nothing_fails_at_once(self, run, hook, lost):
        hook.answers["create_label"] = lost()
        with pytest.raises(CyTechBotAmbiguousWriteError) as raised:
            run(assign(label_names="New", create_missing=True))
        assert isinstance(raised.value, AirflowFailException)
        assert sent(hook) == []

    def test_a_lost_answer_that_cannot_be_looked_up_fails_at_once(self, run, hook, lost, not_sent):
        hook.answers |= {"create_label": lost(), "get_all_labels": (LABELS, not_sent())}
        with pytest.raises(CyTechBotAmbiguousWriteError):
            run(assign(label_names="New", create_missing=True))

    @pytest.mark.parametrize("name", ["vip", " ViP "])
    def test_a_name_that_the_server_takes_for_another(self, run, hook, name, caplog):
        caplog.set_level("INFO")
        hook.answers["create_label"] = CyTechBotRequestError("(#100) Label name already exists.")
        run(assign(label_names=name, create_missing=True))
        assert sent(hook) == [("111", "5")]
        assert f"The page has no label {name.strip()!r}, but takes 'VIP' for it: id 5" in caplog.text

    def test_spaces_around_a_name_make_no_label(self, run, hook):
        run(assign(label_names=[" VIP ", "VIP"], create_missing=True))
        assert sent(hook) == [("111", "5")]
        assert hook.count("create_label") == 0

    def test_a_refusal_is_a_refusal(self, run, hook):
        hook.answers["create_label"] = CyTechBotRequestError("No Enabled Bot Found")
        with pytest.raises(CyTechBotRequestError, match="No Enabled Bot Found"):
            run(assign(label_names="New", create_missing=True))


class TestSubscribers:
    def many(self, subscriber_ids):
        return assign(label_ids=["5"], subscriber_ids=subscriber_ids)

    @pytest.mark.parametrize("ids", [["3", "1", "3"], "3, 1", [3, 1], ("3", "1"), {"3": 0, "1": 0}.keys()])
    def test_each_once(self, run, hook, tries, ids):
        assert run(self.many(ids)) == ["3", "1"]
        assert [subscriber_id for subscriber_id, _ in sent(hook)] == ["3", "1"]
        assert tries.xcoms == {}  # the ids are the result
        assert hook.count("get_all_labels") == 1

    @pytest.mark.parametrize("none", [[], "", ()])
    def test_none_at_all_asks_for_nothing(self, run, hook, none, caplog):
        caplog.set_level("INFO")
        assert run(self.many(none)) == []
        assert hook.calls == []

    def test_one_refused_among_many(self, run, hook, tries):
        hook.answers["assign_label"] = lambda fields: (
            CyTechBotRequestError('the API refused: "(#100) The user ID is not valid".')
            if fields["subscriber_id"] == "2"
            else ASSIGNED
        )
        with pytest.raises(CyTechBotRequestError) as raised:
            run(self.many(["1", "2", "3"]))
        assert isinstance(raised.value, AirflowFailException)
        assert str(raised.value) == (
            "POST assign_label (connection 'cytechbot_default'): 1 of 3 subscribers were refused: "
            "2: the API refused: \"(#100) The user ID is not valid\". See the XCom 'outcome'."
        )
        assert tries.xcoms["outcome"] == {
            "counts": {"assigned": 2, "refused": 1, "unknown": 0, "not_tried": 0},
            "assigned": ["1", "3"],
            "refused": {"2": 'the API refused: "(#100) The user ID is not valid".'},
            "unknown": {},
            "not_tried": [],
        }

    def test_a_wrong_key_in_the_middle_tells_what_was_not_tried(self, run, hook, tries):
        hook.answers["assign_label"] = (ASSIGNED, CyTechBotAuthError("wrong key."))
        with pytest.raises(CyTechBotAuthError):
            run(self.many(["1", "2", "3"]))
        assert tries.xcoms["outcome"]["assigned"] == ["1"]
        assert tries.xcoms["outcome"]["not_tried"] == ["2", "3"]

    def test_a_lost_answer_does_not_keep_the_others_waiting(self, run, hook, tries):
        refused = CyTechBotRequestError("no.")
        lost = CyTechBotTransportError("cut off.")
        hook.answers["assign_label"] = (lost, lost, refused, lost, ASSIGNED)
        with pytest.raises(CyTechBotTransportError, match=r"Tagged 1 of 5 .* 3 unknown.* cut off") as raised:
            run(self.many(list("12345")))
        assert not isinstance(raised.value, AirflowFailException)
        assert tries.xcoms["outcome"] == {
            "counts": {"assigned": 1, "refused": 1, "unknown": 3, "not_tried": 0},
            "assigned": ["5"],
            "refused": {"3": "no."},
            "unknown": {"1": "cut off.", "2": "cut off.", "4": "cut off."},
            "not_tried": [],
        }

    def test_three_lost_answers_in_a_row_are_a_server_that_is_gone(self, run, hook, tries):
        hook.answers["assign_label"] = (ASSIGNED, CyTechBotTransportError("cut off."))
        with pytest.raises(CyTechBotTransportError):
            run(self.many(list("123456")))
        assert list(tries.xcoms["outcome"]["unknown"]) == ["2", "3", "4"]
        assert tries.xcoms["outcome"]["not_tried"] == ["5", "6"]
        hook.answers["assign_label"] = ASSIGNED
        assert run(self.many(list("123456")), tries.retry()) == list("123456")

    def test_an_xcom_that_cannot_be_written_does_not_hide_the_error(self, run, hook, tries, caplog):
        def fail(key, value):
            raise RuntimeError("the API server is gone")

        tries.ti.xcom_push = fail
        hook.answers["assign_label"] = CyTechBotRequestError("no.")
        with pytest.raises(CyTechBotRequestError, match="1 of 1 subscribers were refused"):
            run(self.many(["1"]))
        assert "The XCom 'outcome' could not be written (RuntimeError)" in caplog.text

    def test_no_xcom_where_none_is_wanted(self, run, hook, tries):
        hook.answers["assign_label"] = CyTechBotRequestError("no.")
        with pytest.raises(CyTechBotRequestError):
            run(assign(label_ids=["5"], subscriber_ids=["1"], do_xcom_push=False))
        assert tries.xcoms == {}

    def test_the_xcom_stays_small(self, run, hook, tries):
        hook.answers["assign_label"] = CyTechBotRequestError("no.")
        with pytest.raises(CyTechBotRequestError):
            run(self.many([str(number) for number in range(1, 501)]))
        assert tries.xcoms["outcome"]["counts"]["refused"] == 500
        assert len(tries.xcoms["outcome"]["refused"]) == 100

    def test_the_log_counts(self, run, caplog):
        caplog.set_level("INFO")
        run(self.many(["1", "2"]))
        assert "Tagged 2 of 2 subscribers; 0 refused, 0 unknown, 0 not tried" in caplog.text


def test_a_long_list_is_cut():
    texts = [str(number) for number in range(MAX_LISTED + 5)]
    assert _listed(texts).endswith(f"{MAX_LISTED - 1} and 5 more")
    assert _listed(texts[:MAX_LISTED]).endswith(f"{MAX_LISTED - 1}")
