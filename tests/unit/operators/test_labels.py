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
from airflow_provider_cytechbot.operators.labels import MAX_LISTED, CyTechBotAssignLabelsOperator, listed

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
        with pytest.raises(CyTechBotFieldError, match="render_template_as_native_obj"):
            run(assign(**fields, **{name: text}, create_missing=True))
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
    def test_other_text_is_refused(self, run, hook, create_missing):
        with pytest.raises(CyTechBotFieldError, match="must be true or false"):
            run(assign(label_names="New", create_missing=create_missing))

    def test_another_task_makes_it_at_the_same_moment(self, run, hook):
        def refuse(fields):
            self.labels = [*self.labels, {"label_id": "12", "label_name": fields["label_name"]}]
            return CyTechBotRequestError("(#100) Label name already exists.")

        hook.answers["create_label"] = refuse
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
        assert tries.xcoms["outcome"] == {"assigned": ["3", "1"], "refused": {}, "not_tried": []}
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
            else hook_success()
        )
        with pytest.raises(CyTechBotRequestError) as raised:
            run(self.many(["1", "2", "3"]))
        assert isinstance(raised.value, AirflowFailException)
        assert str(raised.value) == (
            "POST assign_label (connection 'cytechbot_default'): 1 of 3 subscribers were refused: "
            "2: the API refused: \"(#100) The user ID is not valid\". All are in the XCom 'outcome'."
        )
        assert tries.xcoms["outcome"] == {
            "assigned": ["1", "3"],
            "refused": {"2": 'the API refused: "(#100) The user ID is not valid".'},
            "not_tried": [],
        }

    @pytest.mark.parametrize("error", [CyTechBotTransportError("cut off."), CyTechBotAuthError("wrong key.")])
    def test_an_error_in_the_middle_tells_what_was_not_tried(self, run, hook, tries, error):
        hook.answers["assign_label"] = (hook_success(), error, hook_success())
        with pytest.raises(type(error)):
            run(self.many(["1", "2", "3"]))
        assert tries.xcoms["outcome"] == {"assigned": ["1"], "refused": {}, "not_tried": ["2", "3"]}
        assert run(self.many(["1", "2", "3"]), tries.retry()) == ["1", "2", "3"]

    def test_the_log_counts(self, run, caplog):
        caplog.set_level("INFO")
        run(self.many(["1", "2"]))
        assert "Tagged 2 of 2 subscribers; 0 refused, 0 not tried" in caplog.text


def hook_success():
    from airflow_provider_cytechbot.api.records import WriteOutcome

    return WriteOutcome(changed=True, message=None)


def test_a_long_list_is_cut():
    texts = [str(number) for number in range(MAX_LISTED + 5)]
    assert listed(texts).endswith(f"{MAX_LISTED - 1} and 5 more")
    assert listed(texts[:MAX_LISTED]).endswith(f"{MAX_LISTED - 1}")
