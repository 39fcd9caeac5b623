"""The repository on a web server, in ranges too (RFC 9110, 14), so that a download is taken up where it was cut."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

import urllib3
from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError

from waspi import __version__
from waspi.protocol.ids import shown
from waspi.updates.source import Piece, Range

_TIMEOUT: Final = urllib3.Timeout(connect=20.0, read=60.0)
_RETRIES: Final = urllib3.Retry(total=4, backoff_factor=0.5, status_forcelist=(429, 502, 503, 504))
_MOST_REDIRECTS: Final = 5
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15})").fullmatch
_OK: Final = 200
_PARTIAL: Final = 206
_PORTS: Final = {"https": 443, "http": 80}
_UNKNOWN: Final = 64 * 1024 * 1024
"""Taken for the length of a file whose server does not tell it: no file of a repository is longer."""


class HttpsSource:
    """Files below ``url``, by the authority in the file ``ca`` or those of the system; proxies are not asked.

    A redirect is followed to the same host and to those of ``hosts`` (``name`` or ``name:port``), and never from https
    to http. What comes is signed wherever it comes from; but where a device connects to, its configuration decides,
    and who sees what it asks for.
    """

    def __init__(self, url: str, ca: str = "", hosts: Iterable[str] = ()) -> None:
        self._url = url.rstrip("/")
        self._secure = urlsplit(url).scheme == "https"
        self._hosts = {_host_of(url), *(host if ":" in host else f"{host}:443" for host in hosts)}
        agent = {"User-Agent": f"waspi/{__version__}"}
        self._pool = urllib3.PoolManager(headers=agent, retries=_RETRIES, ca_certs=ca or None)
        self.requests = 0
        """Requests that were made."""

    def pieces(self, path: str, wanted: Iterable[Range]) -> Iterator[Piece]:
        """See :class:`waspi.updates.source.Source`."""
        try:
            for run in _runs(wanted):
                yield from self._run(path, run)
        except urllib3.exceptions.TimeoutError as error:
            raise SlowRetrievalError(f"{self._url} does not answer in time") from error
        except urllib3.exceptions.HTTPError as error:
            raise DownloadError(f"{self._url}: {error}") from error

    def _run(self, path: str, run: list[Range]) -> Iterator[Piece]:
        """One request for ranges that follow each other."""
        response = self._request(path, run[0].offset, run[-1].offset + run[-1].length - 1)
        try:
            at, total = _extent(response, path)
            if at > run[0].offset:
                raise DownloadError(f"the web server sent {path} from byte {at} on, asked for was {run[0].offset}")
            for each in run:
                if each.offset >= total:
                    return
                while at < each.offset:  # the server sends all of it: pass over what is here already
                    at += len(_read(response, min(65536, each.offset - at)))
                data = b""
                end = min(each.length, total - each.offset)
                while len(data) < end:
                    data += _read(response, end - len(data))
                at += len(data)
                yield Piece(each.offset, total, data)
        finally:
            response.release_conn()
            response.close()

    def _request(self, path: str, first: int, last: int) -> urllib3.BaseHTTPResponse:
        url = f"{self._url}/{quote(path, safe='/%')}"
        for _ in range(_MOST_REDIRECTS + 1):
            self.requests += 1
            response = self._pool.request(
                "GET",
                url,
                headers={"Range": f"bytes={first}-{last}", "Accept-Encoding": "identity"},
                preload_content=False,
                decode_content=False,
                redirect=False,
                timeout=_TIMEOUT,
            )
            location = response.get_redirect_location()
            if not location:
                return response
            response.release_conn()
            response.close()
            url = self._allowed(url, location)
        raise DownloadError(f"{self._url} redirects {path} more than {_MOST_REDIRECTS} times")

    def _allowed(self, asked: str, location: str) -> str:
        """Where ``location`` leads. Raises ``DownloadError`` when that is not to be followed."""
        try:
            url = urljoin(asked, location)
            scheme = urlsplit(url).scheme
        except ValueError as error:
            raise DownloadError(f"{self._url} redirects to {shown(location)}, which is no URL") from error
        if scheme not in _PORTS or (self._secure and scheme != "https"):
            raise DownloadError(f"{self._url} redirects to {shown(url)}, which is not https: not followed")
        if _host_of(url) not in self._hosts:
            raise DownloadError(
                f"{self._url} redirects to another host, {shown(_host_of(url))}: not followed; if that is meant, name "
                "it in updates.redirect_hosts"
            )
        return url


def _host_of(url: str) -> str:
    """Host and port. Raises ``DownloadError`` for what is no URL."""
    try:
        parts = urlsplit(url)
        return f"{parts.hostname}:{parts.port or _PORTS.get(parts.scheme, 0)}"
    except ValueError as error:
        raise DownloadError(f"{shown(url)} is no URL") from error


def _extent(response: urllib3.BaseHTTPResponse, path: str) -> tuple[int, int]:
    """Where the body begins in the file, and the file's length."""
    if response.status == _PARTIAL:
        told = _CONTENT_RANGE(response.headers.get("Content-Range", ""))
        if told is None:
            raise DownloadError(f"the web server sent a part of {path} and does not say which")
        return int(told[1]), int(told[2])
    if response.status != _OK:
        raise DownloadHTTPError(f"{path}: HTTP status {response.status}", response.status)
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() and length.isascii() else _UNKNOWN


def _read(response: urllib3.BaseHTTPResponse, size: int) -> bytes:
    data = response.read(size)
    if not data:
        raise DownloadError("the web server ended in the middle of a file")
    return data


def _runs(wanted: Iterable[Range]) -> Iterator[list[Range]]:
    """Ranges that follow each other, together."""
    run: list[Range] = []
    for each in sorted(wanted):
        if run and each.offset != run[-1].offset + run[-1].length:
            yield run
            run = []
        run.append(each)
    if run:
        yield run
