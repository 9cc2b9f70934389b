"""A file over HTTP, into a part that a cut leaves behind and the next try continues. No torch.

A part is continued only where the server says that its file is still the same one, or where the digest of the whole will be
compared: requests brings the bytes, and nothing here believes them.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import urllib3

from vggrepro.core import limits
from vggrepro.core.progress import show_progress

SECONDS_TO_CONNECT, SECONDS_WITHOUT_A_BYTE = 30.0, 60.0
TRIES = 5
"""In a row that bring nothing new."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds between two tries; each pause is twice the one before it."""
BYTES_PER_BLOCK = 1 << 16
"""Bytes that are read at a time, and lost at most where a connection is cut."""
TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)
"""Statuses of a server that may answer otherwise in a moment."""


class CutError(Exception):
    """A try that ended before the file did."""


@dataclass(frozen=True)
class Part:
    """What there is of a file so far."""

    path: Path

    @property
    def bytes(self) -> int:
        """How many bytes there are."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def _note(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def version(self, url: str) -> str | None:
        """What the server called the file that the part is of; None where it said nothing, or of another address."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            return str(note["version"]) if note["url"] == url else None
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def begin(self, url: str, version: str | None) -> None:
        """Note which file the part is going to be of."""
        self._note.write_text(json.dumps({"url": url, "version": version} if version else {}), encoding="utf-8")

    def remove(self) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def put_in_place(self, target: Path) -> None:
        """Make it the file that it was the part of."""
        self.path.replace(target)
        self._note.unlink(missing_ok=True)


def download(url: str, part: Part, *, size: int | None, will_be_compared: bool, proxy: str | None = None) -> None:
    """Bring all of a file into its part.

    `size` is the number of bytes that the file is known to have. `will_be_compared`: the digest of the whole is known, so that
    a part may be continued whatever it is of. Raises ValueError that names the address, for an answer that is no file, a
    server that cannot be reached or goes silent, a file that is too long, and a full disk.
    """
    failures = 0
    if size and will_be_compared and part.bytes == size:
        return None
    with requests.Session() as session:
        session.headers.update({"User-Agent": "vggrepro", "Accept-Encoding": "identity"})
        while True:
            before = part.bytes
            try:
                return _try(session, url, part, size=size, will_be_compared=will_be_compared, proxy=proxy)
            except CutError as cut:
                failures = 0 if part.bytes > before else failures + 1
                if failures == TRIES:
                    raise ValueError(
                        f"{url}: {cut}, {TRIES} times in a row; {part.bytes:,} bytes of it are here: the same command goes on "
                        "from there. Behind a proxy, give --proxy (or set HTTPS_PROXY); --mirror names another place"
                    ) from None
                print(f"{url}: {cut}: tries again, {part.bytes:,} bytes are here", file=sys.stderr, flush=True)
                time.sleep(min(FIRST_PAUSE * 2**failures, LONGEST_PAUSE))


def _try(
    session: requests.Session, url: str, part: Part, *, size: int | None, will_be_compared: bool, proxy: str | None
) -> None:
    version = part.version(url)
    if part.bytes and not version and not will_be_compared:
        part.remove()
    headers = {"Range": f"bytes={part.bytes}-"} if part.bytes else {}
    headers |= {"If-Range": version} if headers and version else {}
    with _answer(session, url, headers, proxy) as response:
        if response.status_code == 416:
            if _total(response) == part.bytes:
                return
            part.remove()
            raise CutError("has another file than the part that is here")
        start = _start(response)
        if start not in (0, part.bytes):
            part.remove()
            raise CutError(f"sends the file from byte {start:,}, which was not asked for")
        if start and version and _version(response) not in (version, None):
            part.remove()
            raise CutError("has another file than the part that is here")
        total, most = _total(response), size or limits.DOWNLOAD_BYTES
        if total and total != (size or min(total, most)):
            raise ValueError(f"{url}: has {total:,} bytes, expected {most:,}: it is another file. {_ELSEWHERE}")
        total = total or size
        with _room_for(part, (total or 0) - start, url):
            if start == 0:
                part.remove()
                part.begin(url, _version(response))
            _append(response, part, total, most=most, url=url)
    if total is not None and part.bytes != total:
        raise CutError(f"was cut after {part.bytes:,} of {total:,} bytes")


_ELSEWHERE = "Fetch it elsewhere, or give --mirror"


@contextmanager
def _room_for(part: Part, count: int, url: str) -> Iterator[None]:
    """A block that writes so many bytes; a ValueError where the disk has no room for them, or is full before the end."""
    folder = part.path.parent
    if count > (free := shutil.disk_usage(folder).free):
        raise ValueError(
            f"{folder}: {count:,} bytes of {url} are to come, and {free:,} are free: free some, or name another folder"
        )
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ValueError(
            f"{folder}: the disk is full, with {part.bytes:,} bytes of {url} here: free some space; the same command goes on "
            "from there"
        ) from None


def _answer(session: requests.Session, url: str, headers: dict[str, str], proxy: str | None) -> requests.Response:
    """The server's answer, of which nothing but the head was read: a file, a part of it, or that there is no such part."""
    options: dict[str, Any] = {"proxies": {"http": proxy, "https": proxy}} if proxy else {}
    timeout = (SECONDS_TO_CONNECT, SECONDS_WITHOUT_A_BYTE)
    try:
        response = session.get(url, headers=headers, stream=True, timeout=timeout, **options)
    except (requests.exceptions.SSLError, requests.exceptions.TooManyRedirects) as error:
        raise ValueError(f"{url}: {_short(error)}. {_ELSEWHERE}") from None
    except (requests.ConnectionError, requests.Timeout) as error:
        raise CutError(f"cannot be reached ({_short(error)})") from None
    except (requests.RequestException, ValueError) as error:
        raise ValueError(f"{url}: no address that can be fetched from ({_short(error)}): correct it") from None
    status = response.status_code
    if status in TRY_AGAIN:
        response.close()
        raise CutError(f"answers {status} {response.reason}")
    problem = "" if status in (200, 206, 416) else f"answers {status} {response.reason}"
    packed = response.headers.get("Content-Encoding", "identity")
    # of an archive that is packed itself, some servers say that they packed it
    if packed != "identity" and not url.endswith((".gz", ".tgz")):
        problem = problem or f"sends the file packed ({packed})"
    if problem:
        response.close()
        raise ValueError(f"{url}: {problem}. {_ELSEWHERE}")
    return response


def _short(error: Exception) -> str:
    """The innermost reason of an error of requests, in a line."""
    reason: Any = error.args[0] if error.args else error
    reason = getattr(reason, "reason", reason)
    text = re.sub(r"<[^>]*>:? ?", "", str(reason)).splitlines()
    return text[0][:200] if text else type(error).__name__


def _start(response: requests.Response) -> int:
    """The number of the first byte that is sent."""
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match and response.status_code == 206 else 0


def _total(response: requests.Response) -> int | None:
    """How many bytes the whole file has; None where the server does not say."""
    if response.status_code in (206, 416):
        match = re.fullmatch(r"bytes .*/(\d+)", response.headers.get("Content-Range", ""))
        return int(match[1]) if match else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _version(response: requests.Response) -> str | None:
    """What If-Range compares: a strong ETag, or the time of the last change."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _append(response: requests.Response, part: Part, total: int | None, *, most: int, url: str) -> None:
    """Write what the server sends at the end of the part; a ValueError for more bytes than a file may have."""
    left = (total or part.bytes) - part.bytes
    with part.path.open("ab") as file:
        for block in show_progress(
            _blocks(response), total=-(-left // BYTES_PER_BLOCK), about=url.rpartition("/")[2], unit="64-KiB block"
        ):
            if file.tell() + len(block) > most:
                raise ValueError(f"{url}: sends more than {most:,} bytes: it is another file. {_ELSEWHERE}")
            file.write(block)
        file.flush()
        os.fsync(file.fileno())


def _blocks(response: requests.Response) -> Iterator[bytes]:
    """The bytes as they were sent, a block at a time; a CutError where they end too early or stop coming."""
    try:
        yield from response.raw.stream(BYTES_PER_BLOCK, decode_content=False)
    except urllib3.exceptions.ReadTimeoutError:
        raise CutError(f"sends nothing for {SECONDS_WITHOUT_A_BYTE:g} s") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise CutError(f"was cut ({_short(error)})") from None
