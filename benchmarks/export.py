"""
Exports side by side: this provider's operator, what else people use, and the straight copy, in one run.

    python benchmarks/export.py --sizes 10000 100000 1000000 --repeat 3 --plot docs/export.png

Serves campaigns of these numbers of subscribers (5 answers each, some 500 bytes) from a process of its own,
into a SeaweedFS on loopback. Each contestant is a whole process: seconds by the wall clock, seconds of the
processor and peak memory by the operating system's account. Absolute figures move with the machine; the
ratios to the copy inside Airflow are the point.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from object_store import ACCESS_KEY, BUCKET, SECRET_KEY, object_store  # noqa: E402

#: The body as it comes, in a process that has imported Airflow: by boto3 alone, or the way that operators go,
#: through a connection and an ObjectStoragePath.
COPY, OPEN_COPY = "straight copy in Airflow", "copy, ObjectStoragePath"
#: A contestant that takes longer is not run again: what it is compared by is not a matter of tenths.
LONG = 60.0
_OPERATOR = """
    from airflow_provider_cytechbot.transfers.flow_answers_to_object_storage import (
        CyTechBotFlowAnswersToObjectStorageOperator as Operator,
    )
    Operator(task_id="e", flow_campaign_id="100", path=f"s3://aws_default@{bucket}/{name}").execute({{}})
"""
_OPEN_COPY = """
    import os, requests, shutil
    from airflow.sdk import ObjectStoragePath
    path = ObjectStoragePath("s3://aws_default@{bucket}/opened.json")
    with requests.get(os.environ["URL"], stream=True) as response:
        with path.open("wb", block_size=5 << 20) as file:
            shutil.copyfileobj(response.raw, file, 64 * 1024)
"""
_COPY = """
    import boto3, os, requests
    from boto3.s3.transfer import TransferConfig
    with requests.get(os.environ["URL"], stream=True) as response:
        boto3.client("s3", endpoint_url=os.environ["S3"], aws_access_key_id=os.environ["KEY"],
            aws_secret_access_key=os.environ["SECRET"], region_name="us-east-1",
        ).upload_fileobj(response.raw, "{bucket}", "copy.json", Config=TransferConfig(use_threads=False))
"""
#: What runs: Python code for a process of its own.
CONTESTANTS = {
    "Airflow, no work": "import airflow.sdk; from airflow.sdk import BaseOperator",
    "straight copy": _COPY,
    COPY: "from airflow.sdk import BaseOperator\n" + textwrap.dedent(_COPY),
    OPEN_COPY: "from airflow.sdk import BaseOperator\n" + textwrap.dedent(_OPEN_COPY),
    **{
        f"operator, {name.partition('.')[2]}": _OPERATOR.replace("{name}", name)
        for name in ("o.json", "o.jsonl", "o.jsonl.gz", "o.jsonl.zst", "o.csv", "o.parquet")
    },
    "HttpToS3Operator": """
        import os
        from airflow.providers.amazon.aws.transfers.http_to_s3 import HttpToS3Operator
        HttpToS3Operator(task_id="e", http_conn_id="http_default", aws_conn_id="aws_default", method="GET",
            endpoint=os.environ["URL"].split("/", 3)[3], s3_bucket="{bucket}", s3_key="h.json", replace=True,
        ).execute({{}})
    """,
    "user script, json and boto3": """
        import boto3, json, os, requests
        body = requests.get(os.environ["URL"]).json()
        lines = []
        for subscriber_id, answers in body["data"].items():
            for answer in answers:
                lines.append(json.dumps({{"flow_campaign_id": body["id"], "flow_name": body["flow_name"],
                    "subscriber_id": subscriber_id, "question_id": answer["id"],
                    "question": answer["question"], "answer": answer["answer"]}}))
        boto3.client("s3", endpoint_url=os.environ["S3"], aws_access_key_id=os.environ["KEY"],
            aws_secret_access_key=os.environ["SECRET"], region_name="us-east-1",
        ).put_object(Bucket="{bucket}", Key="u.jsonl", Body="\\n".join(lines).encode())
    """,
    "DuckDB one-off": """
        import boto3, duckdb, os, requests, tempfile
        with tempfile.TemporaryDirectory() as folder:
            with open(folder + "/body.json", "wb") as file:
                file.write(requests.get(os.environ["URL"]).content)
            duckdb.sql(f'''COPY (
                SELECT id AS flow_campaign_id, flow_name, key AS subscriber_id,
                    unnest(value, recursive := true)
                FROM (SELECT id, flow_name, unnest(map_entries(data), recursive := true) FROM read_json(
                    '{{folder}}/body.json', maximum_object_size = 2000000000, columns = {{{{id: 'VARCHAR',
                    flow_name: 'VARCHAR',
                    data: 'MAP(VARCHAR, STRUCT(id VARCHAR, question VARCHAR, answer VARCHAR)[])'}}}}))
                ) TO '{{folder}}/d.parquet' (COMPRESSION zstd)''')
            boto3.client("s3", endpoint_url=os.environ["S3"], aws_access_key_id=os.environ["KEY"],
                aws_secret_access_key=os.environ["SECRET"], region_name="us-east-1",
            ).upload_file(folder + "/d.parquet", "{bucket}", "d.parquet")
    """,
}
#: Run by another Python, as dlt and Airflow do not always install together.
_DLT = """
    import dlt, os, requests, tempfile
    os.environ["DESTINATION__FILESYSTEM__BUCKET_URL"] = "s3://{bucket}/dlt"
    for name, value in (("ACCESS_KEY_ID", os.environ["KEY"]), ("SECRET_ACCESS_KEY", os.environ["SECRET"])):
        os.environ[f"DESTINATION__FILESYSTEM__CREDENTIALS__AWS_{{name}}"] = value
    os.environ["DESTINATION__FILESYSTEM__CREDENTIALS__ENDPOINT_URL"] = os.environ["S3"]
{source}
    with tempfile.TemporaryDirectory() as folder:
        dlt.pipeline("b", destination="filesystem", dataset_name="d", pipelines_dir=folder).run(
            answers(), loader_file_format="parquet")
"""
#: By what makes the rows: dlt's own source for REST APIs, which loses the subscribers' ids, or a generator.
DLT = {
    "dlt, its rest_api": """
    def answers():
        from dlt.sources.rest_api import rest_api_source
        base, _, path = os.environ["URL"].rpartition("/get_")
        endpoint = {{"path": "get_" + path, "data_selector": "data.*[*]", "paginator": "single_page"}}
        return rest_api_source({{"client": {{"base_url": base}},
            "resources": [{{"name": "answers", "endpoint": endpoint, "write_disposition": "replace"}}]}})
    """,
    "dlt, a resource": """
    @dlt.resource(name="answers", write_disposition="replace")
    def answers():
        body = requests.get(os.environ["URL"]).json()
        for subscriber_id, found in body["data"].items():
            yield [{{"subscriber_id": subscriber_id, **answer}} for answer in found]
    """,
}


class Figures(NamedTuple):
    """
    What one run took.

    :param seconds: By the wall clock.
    :param processor: Seconds of the processor.
    :param memory: Peak of the resident memory, in MB.
    """

    seconds: float
    processor: float
    memory: float


def main() -> None:
    """Run everything, print a table, write the figures and the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--repeat", type=int, default=3, help="runs of each; the median counts")
    parser.add_argument("--only", nargs="*", help="contestants whose names contain one of these")
    parser.add_argument("--dlt-python", help="a Python that has dlt; without it, dlt does not take part")
    parser.add_argument("--plot", type=Path, help="a PNG file of time and memory over size")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()
    contestants = {name: (sys.executable, code) for name, code in CONTESTANTS.items()}
    if options.dlt_python:
        for name, source in DLT.items():
            contestants[name] = (options.dlt_python, _DLT.replace("{source}", source))
    if options.only:
        named = (COPY, OPEN_COPY, *options.only)
        contestants = {n: c for n, c in contestants.items() if any(part in n for part in named)}
    figures: dict[str, dict[int, Figures]] = {name: {} for name in contestants}
    with tempfile.TemporaryDirectory() as folder, object_store(Path(folder)) as store:
        for size in options.sizes:
            with campaign(size, Path(folder)) as api:
                environment = environment_of(api, store, Path(folder))
                runs: dict[str, list[Figures]] = {name: [] for name in contestants}
                for _ in range(options.repeat):  # in turns, so that a noisy minute hits all of them
                    for name, (python, code) in contestants.items():
                        if not runs[name] or runs[name][0].seconds < LONG:
                            runs[name].append(measure(python, code, environment))
                for name, measured in runs.items():
                    figures[name][size] = Figures(*map(statistics.median, zip(*measured, strict=True)))
            show(figures, size)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    if options.plot:
        plot(figures, options.plot)


def measure(python: str, code: str, environment: dict[str, str]) -> Figures:
    """Run code in a process of its own."""
    started = time.perf_counter()
    source = textwrap.dedent(code.replace("{bucket}", BUCKET).replace("{{", "{").replace("}}", "}"))
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([python, "-c", source], env=environment, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            print(log.read().decode()[-1500:], file=sys.stderr)
            return Figures(*[float("nan")] * 3)
    seconds = time.perf_counter() - started
    return Figures(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


@contextmanager
def campaign(subscribers: int, folder: Path) -> Iterator[dict[str, str]]:
    """Serve a campaign with this number of subscribers from a process of its own."""
    server = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("campaign_server.py"), str(subscribers), folder],
        stdout=subprocess.PIPE,
        text=True,
    )
    with server:
        assert server.stdout is not None
        try:
            if not (port := server.stdout.readline()):
                raise RuntimeError("the server did not start")
            yield {"url": f"http://127.0.0.1:{int(port)}/api", "api_key": "abc"}
        finally:
            server.terminate()


def environment_of(api: dict[str, str], store, folder: Path) -> dict[str, str]:  # type: ignore[no-untyped-def]
    """Return the environment that gives the contestants the API and the store."""
    base, _, _ = api["url"].partition("/api")
    connection = {"conn_type": "cytechbot", "host": api["url"], "password": api["api_key"]}
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(folder / "airflow"),
        # As on any Airflow in use. The plugins among the examples would take part of a second.
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_CYTECHBOT_DEFAULT": json.dumps(connection),
        "AIRFLOW_CONN_AWS_DEFAULT": store.connection(),
        "AIRFLOW_CONN_HTTP_DEFAULT": json.dumps({"conn_type": "http", "host": base}),
        "URL": f"{api['url']}/get_all_subscriber_flow_info/?api_key={api['api_key']}&flow_campaign_id=100",
        "S3": store.url,
        "KEY": ACCESS_KEY,
        "SECRET": SECRET_KEY,
    }


def show(figures: dict[str, dict[int, Figures]], size: int) -> None:
    """Print the figures of one size."""
    copies = [figures[name][size].seconds for name in (COPY, OPEN_COPY)]
    print(f"\n{size:,} subscribers\n{'':32} seconds  processor     MB  x {COPY}, x {OPEN_COPY}")
    for name, of_sizes in figures.items():
        seconds, processor, memory = of_sizes[size]
        ratios = "  ".join(f"{seconds / copy:6.2f}" for copy in copies)
        print(f"{name:32} {seconds:7.1f} {processor:10.1f} {memory:6.0f}  {ratios}", flush=True)


def plot(figures: dict[str, dict[int, Figures]], path: Path) -> None:
    """Draw time and memory over size."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(13, 5), layout="constrained")
    colours = mpl.colormaps["tab20"].colors
    for panel, at, label in zip(
        panels, ("seconds", "memory"), ("seconds, whole process", "peak memory, MB"), strict=True
    ):
        for (name, of_sizes), colour in zip(figures.items(), colours, strict=False):
            style = "-" if name.startswith("operator") else "--"
            panel.plot(
                list(of_sizes),
                [getattr(each, at) for each in of_sizes.values()],
                style,
                marker="o",
                label=name,
                color=colour,
            )
        panel.set(xscale="log", yscale="log", xlabel="subscribers, 5 answers each", ylabel=label)
        panel.grid(visible=True, which="both", alpha=0.25)
    panels[1].legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
