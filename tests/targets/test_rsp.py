"""Packets of the GDB remote protocol: every form, every breach, and 100,000 damaged streams."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armprobe.errors import ProtocolError
from armprobe.targets.rsp import (
    Decoder,
    Item,
    Kind,
    Output,
    StopKind,
    StopReply,
    ThreadId,
    data_of,
    error_of,
    escape,
    expand,
    features,
    frame,
    joined,
    number,
    object_part,
    stop_reply,
    supported_actions,
    thread_id,
    thread_list,
)

SEED, STREAMS = 20, 100_000


def items(*pieces: bytes) -> list[Item]:
    decoder = Decoder()
    return [item for piece in pieces for item in decoder.feed(piece)]


def test_a_packet_is_framed_with_its_checksum():
    assert frame(b"m8000,10") == b"$m8000,10#c2"
    assert frame(b"") == b"$#00"


@given(st.binary())
def test_binary_data_comes_back_from_its_escaped_form(data):
    assert expand(escape(data)) == data
    assert not set(escape(data)) & set(b"#$")


@given(st.binary(max_size=64), st.integers(1, 8))
def test_a_stream_is_cut_into_items_wherever_it_is_cut_on_the_way(data, step):
    stream = b"+" + frame(escape(data)) + b"-" + frame(b"OK")
    pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
    assert items(*pieces) == [Item(Kind.ACK), Item(Kind.PACKET, data), Item(Kind.NAK), Item(Kind.PACKET, b"OK")]


def test_runs_are_expanded():
    assert expand(b'0*"00') == b"0" * 8
    assert expand(b"x*~") == b"x" * 98
    assert expand(b"}\x03* ") == b"####"


@pytest.mark.parametrize("body", [b"*!", b"0*", b"0*\x1f", b"0*\x7f", b"}"])
def test_a_run_or_an_escape_that_makes_no_sense_is_a_damaged_packet(body):
    with pytest.raises(ProtocolError):
        expand(body)
    assert items(frame(body) + frame(b"OK")) == [Item(Kind.CORRUPT), Item(Kind.PACKET, b"OK")]


@pytest.mark.parametrize("packet", [b"$OK#9b", b"$OK#zz", b"$OK$OK#9a"])
def test_a_wrong_checksum_is_a_damaged_packet_and_what_follows_is_read(packet):
    assert items(packet + b"+" + frame(b"OK")) == [Item(Kind.CORRUPT), Item(Kind.ACK), Item(Kind.PACKET, b"OK")]


def test_a_packet_without_an_end_is_given_up():
    assert items(b"$" + b"0" * (1 << 20), b"00", frame(b"OK")) == [Item(Kind.CORRUPT), Item(Kind.PACKET, b"OK")]


def test_notifications_are_told_from_packets():
    assert items(b"%Stop:T05#" + b"%02x" % (sum(b"Stop:T05") % 256)) == [Item(Kind.NOTIFICATION, b"Stop:T05")]


def test_what_is_no_item_is_kept_for_the_message():
    decoder = Decoder()
    assert list(decoder.feed(b"SSH.2.0 OpenSSH" + b"." * 100 + b"+")) == [Item(Kind.ACK)]
    assert decoder.garbage == b"SSH.2.0 OpenSSH" + b"." * 25


def test_stop_replies_are_read():
    assert stop_reply(b"S05") == StopReply(StopKind.STOPPED, 5)
    assert stop_reply(b"T05thread:p01.02;swbreak:;0f:00800000;core:1;") == StopReply(
        StopKind.STOPPED, 5, ThreadId(2, 1), {15: bytes.fromhex("00800000")}, {"swbreak": "", "core": "1"}
    )
    assert stop_reply(b"W2a") == StopReply(StopKind.EXITED, 42)
    assert stop_reply(b"W00;process:1") == StopReply(StopKind.EXITED, 0, process=1)
    assert stop_reply(b"X0b") == StopReply(StopKind.KILLED, 11)
    assert stop_reply(b"O48690a") == Output(b"Hi\n")


def test_threads_are_read_with_and_without_a_process():
    assert thread_list(b"mp01.01,p01.02") == [ThreadId(1, 1), ThreadId(2, 1)]
    assert thread_list(b"m1a") == [ThreadId(26)]
    assert thread_list(b"l") is None
    assert [str(ThreadId(26)), str(ThreadId(2, 1))] == ["1a", "p1.2"]


def test_features_that_are_not_offered_are_left_out():
    assert features(b"PacketSize=1000;qXfer:features:read+;multiprocess-;swbreak?") == {
        "PacketSize": "1000",
        "qXfer:features:read": "+",
    }


def test_small_replies_are_read():
    assert supported_actions(b"vCont;c;C;s;S") == {"c", "C", "s", "S"}
    assert supported_actions(b"") == frozenset()
    assert object_part(b"m<a>") == (b"<a>", False)
    assert object_part(b"l") == (b"", True)
    assert number(b"00ff", what="a number") == 255
    assert data_of(b"00Ff", what="data") == b"\x00\xff"
    assert [error_of(reply) for reply in (b"E14", b"E.not now", b"OK", b"E1", b"E123", b"Exy")] == [
        "E14", "E.not now", None, None, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("read", "reply", "message"),
    [
        (stop_reply, b"OK", "the stub sent 'OK' where it should say why the target stopped"),
        (stop_reply, b"", "the stub sent '' where it should say why the target stopped"),
        (stop_reply, b"T", "the stub sent '' where a signal should be"),
        (stop_reply, b"T05thread:p1;", "the stub sent 'p1' where a thread id should be"),
        (stop_reply, b"T050f:0;", "the stub sent '0' where the value of a register should be"),
        (stop_reply, b"O4", "the stub sent '4' where output of the program should be"),
        (thread_id, b"-1", "the stub sent '-1' where a thread id should be"),
        (thread_list, b"E01", "the stub sent 'E01' where a list of threads should be"),
        (object_part, b"", "the stub sent '' where a part of a document should be"),
    ],
)
def test_a_breach_of_the_protocol_is_told(read: Callable[[bytes], object], reply: bytes, message: str):
    with pytest.raises(ProtocolError, match=f"^{re.escape(message)}$"):
        read(reply)


def test_ranges_are_joined_up_to_the_longest_and_split_above():
    ranges = [(0x100, 0x104), (0x104, 0x108), (0x10C, 0x110), (0x200, 0x290)]
    assert joined(ranges, gap=0, longest=0x40) == [
        (0x100, 0x108), (0x10C, 0x110), (0x200, 0x240), (0x240, 0x280), (0x280, 0x290),
    ]  # fmt: skip
    assert joined(ranges[:3], gap=4, longest=0x40) == [(0x100, 0x110)]


#: what real stubs send (QEMU 7.2, gdbserver 13), to be damaged
_STREAMS = (
    b"+" + frame(b"PacketSize=1000;qXfer:features:read+;vContSupported+;multiprocess+"),
    b"+" + frame(b"T05thread:p01.01;") + b"+" + frame(b'T0506:0*"00;07:d0e7ff7e;0f:14cbfbb6;thread:p1.1;core:0;'),
    b"+" + frame(b"vCont;c;C;s;S") + frame(b"mp01.01,p01.02") + frame(b"l") + frame(b"QCp01.01"),
    b"+" + frame(b"0*<d3010040") + frame(b"E14") + frame(b"OK") + frame(b""),
    b"%" + frame(b"Stop:T05thread:1;")[1:] + frame(b"W00;process:1") + frame(b"O48656c6c6f0a") + frame(b"X0b"),
    b"+" + frame(b"l<target>}\x03</target>"),
)  # fmt: skip
_READERS: tuple[Callable[[bytes], object], ...] = (
    stop_reply,
    thread_list,
    thread_id,
    features,
    supported_actions,
    object_part,
    error_of,
    lambda payload: data_of(payload, what="data"),
    lambda payload: number(payload, what="a number"),
)


def damage(stream: bytes, draw: random.Random) -> bytes:
    data = bytearray(stream)
    for _ in range(draw.randrange(1, 5)):
        at = draw.randrange(len(data) + 1)
        match draw.randrange(4):
            case 0:
                data[at : at + draw.randrange(8)] = b""
            case 1:
                data[at:at] = draw.randbytes(draw.randrange(1, 4))
            case 2:
                data[at:at] = draw.choice([b"$", b"#", b"}", b"*~", b"+", b"-", b"%", b"\x03", b"E01", b";", b":"])
            case _:
                data[at : at + 1] = draw.randbytes(1)
    return bytes(data)


def read_all(payload: bytes) -> None:
    for read in _READERS:
        with suppress(ProtocolError):
            read(payload)


@pytest.mark.slow
def test_damaged_streams_end_in_items_or_a_protocol_error():
    draw = random.Random(SEED)
    packets = 0
    for case in range(STREAMS):
        stream = damage(draw.choice(_STREAMS), draw)
        decoder = Decoder()
        cut = draw.randrange(len(stream) + 1)
        try:
            found = [*decoder.feed(stream[:cut]), *decoder.feed(stream[cut:])]
            assert len(found) <= len(stream)
            # The same damage behind a checksum that fits: what a broken stub sends, not a broken line.
            inner = stream[1:-3].replace(b"#", b"").replace(b"$", b"")
            found += Decoder().feed(frame(inner))
            for item in found:
                packets += item.kind is Kind.PACKET
                read_all(item.payload)
        except Exception as error:  # noqa: BLE001
            pytest.fail(f"case {case} of seed {SEED}, cut at {cut}: {stream!r}: {error!r}")
    assert packets > STREAMS // 2
