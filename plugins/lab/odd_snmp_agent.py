"""An SNMP agent in Python that can be wrong in every way, for what net-snmp's agent does right.

It speaks versions 1 and 2c in BER (RFC 3416; X.690). Values are given encoded, by the functions below.
"""

import bisect
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

GET, GETNEXT, RESPONSE, GETBULK = 0xA0, 0xA1, 0xA2, 0xA5
NO_SUCH_NAME, GEN_ERR, AUTHORIZATION_ERROR = 2, 5, 16
Oid = tuple[int, ...]
# (kind of request, its OIDs) → None to answer, "drop", or an error status.
Hook = Callable[[int, Sequence[str]], "str | int | None"]


def tlv(tag: int, body: bytes) -> bytes:
    """Tag, length, value."""
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def _integer(tag: int, value: int) -> bytes:
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def integer(value: int) -> bytes:
    return _integer(0x02, value)


def octets(value: str) -> bytes:
    return tlv(0x04, value.encode())


def counter32(value: int) -> bytes:
    return _integer(0x41, value)


def gauge32(value: int) -> bytes:
    return _integer(0x42, value)


def ticks(value: int) -> bytes:
    return _integer(0x43, value)


def counter64(value: int) -> bytes:
    return _integer(0x46, value)


def oid(text: str) -> bytes:
    return _oid(_numbers(text))


def _numbers(text: str) -> Oid:
    return tuple(map(int, text.split(".")))


def _oid(numbers: Oid) -> bytes:
    body = bytes([numbers[0] * 40 + numbers[1]])
    for number in numbers[2:]:
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(0x80 | (number & 0x7F))
        body += bytes(reversed(groups))
    return tlv(0x06, body)


NULL, NO_SUCH_INSTANCE, END_OF_VIEW = tlv(0x05, b""), tlv(0x81, b""), tlv(0x82, b"")


def _read(data: bytes, at: int) -> tuple[int, bytes, int]:
    tag, size = data[at], data[at + 1]
    at += 2
    if size & 0x80:
        count = size & 0x7F
        size = int.from_bytes(data[at : at + count], "big")
        at += count
    return tag, data[at : at + size], at + size


def _read_oid(body: bytes) -> Oid:
    numbers, number = [body[0] // 40, body[0] % 40], 0
    for byte in body[1:]:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    return tuple(numbers)


class OddAgent:
    """A context manager, on a free port of `address`.

    `order` is the order of GETNEXT and GETBULK, by default ascending. `reply` replaces each answer.
    `answers_from` is the address that answers are sent from, by default the one that was asked.
    """

    def __init__(
        self,
        address: str,
        values: Mapping[str, bytes] | None = None,
        *,
        order: Sequence[str] | None = None,
        hook: Hook | None = None,
        reply: bytes | None = None,
        answers_from: str = "",
    ) -> None:
        self.values = dict(values or {})
        self._walk = [_numbers(one) for one in order] if order else sorted(map(_numbers, self.values))
        self._is_ordered = order is None
        self._hook, self._reply = hook, reply
        self.requests: list[tuple[int, int]] = []  # kind and number of objects
        self._socket = _bound(address)
        self._answering = _bound(answers_from) if answers_from else self._socket
        self.address, self.port = self._socket.getsockname()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "OddAgent":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(b"", (self.address, self.port))  # which ends the thread
        self._thread.join()
        for one in {self._socket, self._answering}:
            one.close()

    def _serve(self) -> None:
        while True:
            data, peer = self._socket.recvfrom(65_535)
            if not data:
                return
            answer = self._reply if self._reply is not None else self._answer(data)
            if answer is not None:
                self._answering.sendto(answer, peer)

    def _answer(self, data: bytes) -> bytes | None:
        _, message, _ = _read(data, 0)
        _, version, at = _read(message, 0)
        _, community, at = _read(message, at)
        kind, pdu, _ = _read(message, at)
        _, request_id, at = _read(pdu, 0)
        _, _, at = _read(pdu, at)
        _, repetitions, at = _read(pdu, at)
        _, listed, _ = _read(pdu, at)
        asked, at = [], 0
        while at < len(listed):
            _, pair, at = _read(listed, at)
            asked.append(_read_oid(_read(pair, 0)[1]))
        self.requests.append((kind, len(asked)))
        verdict = self._hook(kind, [".".join(map(str, one)) for one in asked]) if self._hook else None
        if verdict == "drop":
            return None
        is_v1, status = version == b"\x00", verdict if isinstance(verdict, int) else 0
        pairs = (
            [(one, NULL) for one in asked]
            if status
            else self._pairs(kind, asked, int.from_bytes(repetitions, "big"))
        )
        if is_v1 and any(value in (NO_SUCH_INSTANCE, END_OF_VIEW) for _, value in pairs):
            status, pairs = NO_SUCH_NAME, [(one, NULL) for one in asked]
        body = b"".join(tlv(0x30, _oid(one) + value) for one, value in pairs)
        answer = tlv(0x02, request_id) + integer(status) + integer(1 if status else 0) + tlv(0x30, body)
        return tlv(0x30, tlv(0x02, version) + tlv(0x04, community) + tlv(RESPONSE, answer))

    def _pairs(self, kind: int, asked: Sequence[Oid], repetitions: int) -> list[tuple[Oid, bytes]]:
        if kind == GET:
            return [(one, self._value(one) or NO_SUCH_INSTANCE) for one in asked]
        pairs = []
        for one in asked:
            for _ in range(repetitions if kind == GETBULK else 1):
                following = self._next(one)
                if following is None:
                    pairs.append((one, END_OF_VIEW))
                    break
                pairs.append((following, self._value(following) or NULL))
                one = following
        return pairs

    def _value(self, one: Oid) -> bytes | None:
        return self.values.get(".".join(map(str, one)))

    def _next(self, one: Oid) -> Oid | None:
        if self._is_ordered or one not in self._walk:
            place = bisect.bisect_right(self._walk, one) if self._is_ordered else 0
        else:
            place = self._walk.index(one) + 1
        return self._walk[place] if place < len(self._walk) else None


def _bound(address: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, 0))
    return made
