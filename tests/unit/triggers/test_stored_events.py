from __future__ import annotations

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

if not AIRFLOW_V_3_3_PLUS:
    pytest.skip("the assets' state store is new in Airflow 3.3", allow_module_level=True)

from airflow.triggers.shared_stream import AdvanceItem, AdvanceOutcome

from airflow_provider_cytechbot.triggers.stored_events import StoredEventsProducer
from airflow_provider_cytechbot.triggers.waiters import NewAnswers


def test_the_newest_state_of_a_batch_is_stored(run):
    """Later results without a new subscriber come back in the same batch as the event."""
    stored = []

    def item(name, failed=0):
        async def remember():
            stored.append(name)

        sighting = NewAnswers([], None, 0, 0, remember if name else None)
        return AdvanceItem(sighting, AdvanceOutcome(acked=1, failed=failed))

    producer = StoredEventsProducer(None)
    run(producer.advance([item("old"), item("new"), item(None), item("not stored", failed=1)]))
    run(producer.advance([item(None)]))
    assert stored == ["new"]


def test_a_store_that_fails_does_not_end_the_trigger(run, caplog):
    async def remember():
        raise OSError("full")

    item = AdvanceItem(NewAnswers([], None, 0, 0, remember), AdvanceOutcome(acked=1, failed=0))
    run(StoredEventsProducer(None).advance([item]))
    assert "could not be stored (OSError)" in caplog.text
