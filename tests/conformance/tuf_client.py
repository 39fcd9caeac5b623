"""The client that boards have, behind the command line that the public TUF conformance suite calls.

That suite (tuf-conformance, of python-tuf's community) starts a client for each step, against a web server of its own::

    CLIENT --metadata-dir DIR init ROOT
    CLIENT --metadata-url URL --metadata-dir DIR refresh
    CLIENT --metadata-url URL --metadata-dir DIR --target-name NAME --target-base-url URL --target-dir DIR download

and looks at the exit code and at the metadata in DIR. ``make conformance-tuf`` runs it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from waspi.errors import RepositoryError, WaspiError
from waspi.updates.https_source import HttpsSource
from waspi.updates.signed_repository import SignedRepository

METADATA = "metadata"
"""What the suite calls the folder; the updater's own name for it is the same."""
RANGE_BYTES = 64 * 1024


def main() -> int:
    """Do one step; 0 when it was done, 1 when the repository is refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metadata-dir", type=Path, required=True)
    for name in ("--metadata-url", "--target-base-url", "--target-name"):
        parser.add_argument(name, default="")
    parser.add_argument("--target-dir", type=Path)
    steps = parser.add_subparsers(dest="step", required=True)
    steps.add_parser("init").add_argument("root", type=Path)
    steps.add_parser("refresh")
    steps.add_parser("download")
    asked = parser.parse_args()
    try:
        if asked.step == "init":
            shutil.copyfile(asked.root, _root(asked.metadata_dir))
            shutil.copyfile(asked.root, asked.metadata_dir / "root.json")
            return 0
        repository = _repository(asked.metadata_dir, asked.metadata_url)
        repository.refresh()
        if asked.step == "download":
            _download(repository, asked.target_name, asked.target_dir)
    except WaspiError as error:
        sys.stderr.write(f"{error.kind}: {error.message}\n")
        return 1
    return 0


def _repository(metadata: Path, url: str) -> SignedRepository:
    folder = metadata.parent
    if metadata.name != METADATA:
        raise RepositoryError(f"the folder of the metadata has to be called {METADATA}")
    above = urlsplit(url).path.rstrip("/").rpartition("/")[0]
    source = HttpsSource(urlsplit(url)._replace(path=above, query="").geturl())
    return SignedRepository(folder, _root(metadata), source, range_bytes=RANGE_BYTES, now=time.time())


def _download(repository: SignedRepository, name: str, folder: Path) -> None:
    info = repository.target(name)
    if info is None:
        raise RepositoryError(f"no target {name}")
    path = folder / info.path
    path.parent.mkdir(parents=True, exist_ok=True)
    repository.fetch(info, path)


def _root(metadata: Path) -> Path:
    return metadata.parent / "trusted-root.json"


if __name__ == "__main__":
    sys.exit(main())
