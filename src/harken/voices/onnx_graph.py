"""An ONNX file that gives other tensors out than its makers chose, without the package `onnx`: the bytes are
cut and joined as protocol buffers are."""

from __future__ import annotations

from collections.abc import Iterator


def giving(model: bytes, tensor: str, alone: bool) -> bytes:
    """The ONNX file with one of its tensors given out as well; `alone`, nothing else, so that what only its
    sound needs is never computed.

    Protocol buffers join fields that come twice: field 7 of a model is its graph, field 12 of a graph an
    output, field 1 of that its name.
    """
    if alone:
        parts = list(_fields(model))
        [graph] = [part for number, _, part in parts if number == 7]
        kept = _leading_to(tensor.encode(), graph)
        others = b"".join(whole for number, whole, _ in parts if number != 7)
        model = others + bytes([7 << 3 | 2]) + _varint(len(kept)) + kept
    message = tensor.encode()
    for field in (1, 12, 7):
        message = bytes([field << 3 | 2]) + _varint(len(message)) + message
    return model + message


def _leading_to(tensor: bytes, graph: bytes) -> bytes:
    """The graph without outputs and shapes, and without the nodes (field 1) that the tensor does not depend
    on: these would be computed all the same. Nodes come in the order in which they are computed.
    """
    needed, kept = {tensor}, list[bytes]()
    for number, whole, content in reversed(list(_fields(graph))):
        if number == 1:
            if not needed & _names(content, 2):
                continue
            needed |= _names(content, 1)
        if number not in (12, 13):
            kept.append(whole)
    return b"".join(reversed(kept))


def _names(node: bytes, direction: int) -> set[bytes]:
    """Tensors that a node takes (1) or gives (2). Takes: also what the graphs inside it take from outside."""
    names = {content for number, _, content in _fields(node) if number == direction}
    if direction == 1:
        attributes = [content for number, _, content in _fields(node) if number == 5]
        graphs = [part for attribute in attributes for number, _, part in _fields(attribute) if number == 6]
        for graph in graphs:
            for number, _, inner in _fields(graph):
                names |= _names(inner, 1) if number == 1 else set()
    return names


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, all bytes and content of each field of a protocol buffer's message."""
    at = 0
    while at < len(message):
        begun = at
        key, at = _read_varint(message, at)
        if key & 7 == 2:
            length, at = _read_varint(message, at)
        else:
            length = {0: _read_varint(message, at)[1] - at, 1: 8, 5: 4}[key & 7]
        yield key >> 3, message[begun : at + length], message[at : at + length]
        at += length


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = shift = 0
    while True:
        value |= (message[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if message[at - 1] < 0x80:
            return value, at


def _varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])
