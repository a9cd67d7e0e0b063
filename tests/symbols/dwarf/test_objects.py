"""C++: members of the object, references, bases, and classes that are passed by their address."""

from __future__ import annotations

import pytest
from tests.symbols.dwarf.programs import LEVELS, image

from armprobe import emulate
from armprobe.codegen.helpers import emit


@pytest.mark.parametrize("level", LEVELS)
def test_classes_and_references_are_read_by_their_members(level):
    seen = []

    def send(this, to, length):
        emit(id=this.id, kind=this.kind, state=this.state, other=to.id, peer=this.peer.id, length=length)

    with emulate(image(level, source="objects.cpp"), arguments=["objects", "4"], output=lambda _: None) as session:
        session.define("p:send net::Socket::send this->id kind=this->kind this->state other=to.id length")
        session.probe("net::Socket::send", send, compiled=True)
        session.probe("net::Socket::send", lambda hit: seen.append((hit.args.to.id, hit.args["this"].state.name)))
        session.define("p:take net::take factor counted.value socket.id name=socket.state")
        session.run()
        events = list(session.events())
    sent = [event for event in events if event.probe.name == "send"]
    assert [event.values for event in sent] == [
        {"id": 100, "kind": 7, "state": 3, "other": 200, "length": number} for number in range(4)
    ]
    assert str(sent[0]).endswith("id=100 kind=7 state=Open other=200 length=0")
    compiled = [event.values for event in events if event.probe.definition is None]
    assert compiled == [
        {"id": 100, "kind": 7, "state": 3, "other": 200, "peer": 200, "length": number} for number in range(4)
    ]
    assert seen == [(200, "Open")] * 4
    taken = [event.values for event in events if event.probe.name == "take"]
    assert taken == [{"factor": 3, "value": number + 40, "id": 100, "name": 3} for number in range(4)]
