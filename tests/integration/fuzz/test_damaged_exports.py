"""Exports whose files or manifest are damaged: the next leaves its own rows there, or all as it was."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil

import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_cytechbot.api.errors import (
    CyTechBotError,
    CyTechBotResponseError,
    CyTechBotStorageRefusedError,
)
from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
    CyTechBotFlowAnswersToObjectStorageOperator as ExportOperator,
)

from .corpus import fuzz, saved
from .damages import DAMAGES, damage
from .flow_server import CAMPAIGN, flow_server

NAMES = ["a.jsonl", "a.csv", "a.parquet", "a.csv.gz", "a.jsonl.zst", "a.json"]
#: The rows of a part.
ROWS = 5
BEFORE = {str(each): {"1": "E-bike", "2": f"Daily, {each}"} for each in range(10, 20)}
AFTER = {str(each): {"1": "City bike"} for each in range(30, 38)}


@pytest.fixture(scope="module")
def server():
    with flow_server() as server:
        yield server


def export(server, folder, name, answers, **options):
    server.answers = answers
    task = ExportOperator(task_id="t", flow_campaign_id=CAMPAIGN, path=str(folder / name), **options)
    return task.execute({})


def options_of(name, has_parts):
    return {"max_rows_per_file": ROWS} if has_parts and name != "a.json" else {}


@pytest.fixture(scope="module")
def exported(server, tmp_path_factory):
    """By name, and whether it has parts: a folder with an export."""
    found = {}
    for name in NAMES:
        for has_parts in (False, True):
            found[name, has_parts] = folder = tmp_path_factory.mktemp("exported")
            export(server, folder, name, BEFORE, **options_of(name, has_parts))
            assert rows_of(folder) == sorted(rows_in(BEFORE))
    return found


def rows_in(answers):
    return [(subscriber, *each) for subscriber, given in answers.items() for each in given.items()]


def rows_of(folder):
    """Return the rows that a reader of the folder finds, which skips names that begin with an underscore."""
    found = []
    for path in folder.iterdir():
        if path.name[0] not in "._":
            found += read(path.name, path.read_bytes())
    return sorted(found)


def read(name, content):
    if name.endswith(".gz"):
        content = gzip.decompress(content)
    elif name.endswith(".zst"):
        content = zstandard.ZstdDecompressor().stream_reader(content).read()
    if ".parquet" in name:
        rows = pq.read_table(io.BytesIO(content)).to_pylist()
    elif ".csv" in name:
        rows = list(csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True))
    elif ".jsonl" in name:
        rows = map(json.loads, content.splitlines())
    else:
        data = json.loads(content)["data"]
        rows = (
            [each | {"subscriber_id": key} for key, answers in data.items() for each in answers]
            if data
            else []
        )
    return [(row["subscriber_id"], row["question_id"], row["answer"]) for row in rows]


def content_of(folder):
    return {each.name: each.read_bytes() for each in folder.iterdir()}


@fuzz(examples=120, longest=3_000)
@saved("exports")
@given(
    name=st.sampled_from(NAMES),
    had_parts=st.booleans(),
    has_parts=st.booleans(),
    damages=DAMAGES,
    then=st.sampled_from(["answers", "no answers", "no overwrite"]),
)
def test_after_a_damaged_export_the_next_is_right_or_refused(
    server, exported, tmp_path_factory, name, had_parts, has_parts, damages, then
):
    folder = tmp_path_factory.mktemp("damaged") / "copy"
    shutil.copytree(exported[name, had_parts], folder)
    names = sorted(content_of(folder))
    damage(folder, names, damages)
    before = content_of(folder)
    answers = {} if then == "no answers" else AFTER
    options = options_of(name, has_parts) | {"overwrite": then != "no overwrite"}
    error = None
    try:
        manifest = export(server, folder, name, answers, **options)
    except CyTechBotError as caught:
        error = caught
    if error:
        assert content_of(folder) == before
        assert before
        assert then != "answers"
        if then == "no overwrite":
            assert isinstance(error, CyTechBotStorageRefusedError)
            assert any(each in str(error) for each in before), error
        else:
            assert isinstance(error, CyTechBotResponseError)
        manifest = export(server, folder, name, answers, allow_empty=True, **options | {"overwrite": True})
    elif then == "no overwrite":
        assert not before
    elif then == "no answers":
        assert not any(map(has_answers, before.items())), before
    expected = {uri.rpartition("/")[2] for uri in manifest["uris"]}
    if options_of(name, has_parts):
        expected.add(f"_{name}.manifest.json")
        assert json.loads((folder / f"_{name}.manifest.json").read_bytes()) == manifest
    found = content_of(folder)
    # Nothing shows whose the files are behind a lost part, if the manifest has lost them, too.
    for each in found.keys() - expected if is_any_lost(names, damages) else ():
        (folder / each).unlink()
    assert set(content_of(folder)) == expected
    assert rows_of(folder) == sorted(rows_in(answers))
    shutil.rmtree(folder)


def is_any_lost(names, damages):
    """Return whether a part was removed and the manifest was damaged, too."""
    kinds = {(names[which % len(names)][0] == "_", how) for which, how, _, _ in damages}
    return (False, "remove") in kinds and any(is_manifest for is_manifest, _ in kinds)


def has_answers(file):
    """Return whether somebody can find answers in a file."""
    name, content = file
    return bool(content) and (not name.endswith((".csv", ".json")) or b"E-bike" in content)
