"""A real server that speaks S3, with access keys, on ports of its own: SeaweedFS from PyPI."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

WEED = Path(sys.executable).with_name("weed")
BUCKET = "tests"
START_S = 60.0
WRITER, READER = ("writer", "writer-secret"), ("reader", "reader-secret")


class ObjectStore:
    """One server with one bucket; `environment` lets a client in that may write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
        self.endpoint = f"http://127.0.0.1:{self.ports['s3']}"
        self.url = f"s3://{BUCKET}"
        self.environment = self.environment_of(WRITER)
        self._process: subprocess.Popen[bytes] | None = None

    def environment_of(self, keys: tuple[str, str]) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": keys[0],
            "AWS_SECRET_ACCESS_KEY": keys[1],
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_CONFIG_FILE": str(self.folder / "none"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "none"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self) -> None:
        actions = {WRITER: ["Admin", "Read", "Write", "List"], READER: ["Read", "List"]}
        identities = [
            {
                "name": keys[0],
                "credentials": [{"accessKey": keys[0], "secretKey": keys[1]}],
                "actions": may,
            }
            for keys, may in actions.items()
        ]
        config = self.folder / "s3.json"
        config.write_text(json.dumps({"identities": identities}))
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        words = [
            *(WEED, "-logtostderr=true", "server", f"-dir={data}", "-filer", "-s3"),
            *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={config}"),
            *(f"-{name}.port={port}" for name, port in self.ports.items()),
            *("-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=20"),
            *("-master.volumePreallocate=false", "-s3.autoCreateBucket=false"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false"),
            f"-filer.localSocket={self.folder}/f",
            f"-s3.localSocket={self.folder}/s",
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )
        self._make_bucket()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    def files(self) -> object:
        """The server's files, as a client that may write sees them now."""
        import s3fs

        return s3fs.S3FileSystem(
            key=WRITER[0],
            secret=WRITER[1],
            endpoint_url=self.endpoint,
            use_listings_cache=False,
            client_kwargs={"region_name": "us-east-1"},
        )

    def _make_bucket(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and not self._answers():
            time.sleep(0.2)
        while True:
            try:
                self.files().mkdir(BUCKET)
                return
            except FileExistsError:
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.endpoint, timeout=2).close()
        except urllib.error.HTTPError as error:
            error.close()  # Refused, by a server that is up.
        except OSError:
            return False
        return True


def free_port() -> int:
    """A free port below 50000 whose gRPC twin, 10000 above, is free too."""
    while True:
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            port = 20000 + first.getsockname()[1] % 25000
        with socket.socket() as one, socket.socket() as two, suppress(OSError):
            one.bind(("127.0.0.1", port))
            two.bind(("127.0.0.1", port + 10000))
            return port


def forget_clients() -> None:
    """fsspec keeps its clients by their arguments, and the environment is none of these."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
