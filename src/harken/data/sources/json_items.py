"""JSON as data sets keep it: an object a line or one array of objects, gzipped or not, read as it comes.

A line that is not JSON, not an object or not UTF-8 is an `Unread` and the next is read; a file that ends too
soon is an `Unread` after what could be read of it. What the objects mean is left to the sources.
"""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from harken.data.sources.base import Item, Unread
from harken.data.sources.hub import File
from harken.errors import DataError

LONGEST_OBJECT = 1 << 24
"""Characters: an object of an array that is not whole after so many is taken for broken."""
_CHUNK = 1 << 16


def json_items(file: File) -> Iterator[Item | Unread]:
    """The objects in a file of JSON lines, or of one array."""
    with file.open() as raw:
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if file.name.endswith(".gz") else raw
        number = 0
        try:
            head = stream.readline(_CHUNK)
            while head and not head.strip():
                head = stream.readline(_CHUNK)
            if head.lstrip(codecs.BOM_UTF8).lstrip()[:1] == b"[":
                yield from _array(file.where, head, stream)
                return
            line = head if head.endswith(b"\n") else head + stream.readline()
            while line:
                number += 1
                if line.strip():
                    yield _item(f"{file.where} row {number}", line)
                line = stream.readline()
        except DataError:
            raise
        except (EOFError, zlib.error, OSError) as error:
            yield Unread(f"{file.where} after row {number}", "file is broken", str(error))


def _item(where: str, line: bytes) -> Item | Unread:
    try:
        data = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Unread(where, "not UTF-8", str(error))
    except (ValueError, RecursionError) as error:
        return Unread(where, "broken JSON", str(error))
    return Item(where, data) if isinstance(data, dict) else Unread(where, "not an object", str(data)[:60])


def _array(where: str, head: bytes, stream: BinaryIO) -> Iterator[Item | Unread]:
    """The objects of one array, whose beginning is `head`."""
    decoder, text = json.JSONDecoder(), codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    buffer, number = text.decode(head).lstrip()[1:], 0
    while True:
        buffer = buffer.lstrip(" \t\r\n,")
        if buffer.startswith("]"):
            return
        try:
            data, end = decoder.raw_decode(buffer)
        except (ValueError, RecursionError) as error:
            chunk = stream.read(_CHUNK) if len(buffer) <= LONGEST_OBJECT else b""
            if not chunk:
                yield Unread(f"{where} after item {number}", "broken JSON", str(error))
                return
            buffer += text.decode(chunk)
            continue
        number, buffer = number + 1, buffer[end:]
        here = f"{where} item {number}"
        yield Item(here, data) if isinstance(data, dict) else Unread(here, "not an object", str(data)[:60])
