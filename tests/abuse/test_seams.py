"""What the transport replaces in python-socketio and engineio is still where it was."""

from __future__ import annotations

import inspect

import engineio
import pytest
import socketio
from aiohttp import web

from realtime.edge.transport import Engine, SocketServer
from realtime.edge.transport.packets import Packet
from realtime.edge.transport.server import Manager


@pytest.mark.parametrize(
    ("ours", "theirs", "names"),
    [
        (
            Engine,
            engineio.AsyncServer,
            "attach handle_request send send_packet disconnect shutdown",
        ),
        (
            SocketServer,
            socketio.AsyncServer,
            "_engineio_server_class _handle_eio_connect _handle_eio_message "
            "_handle_eio_disconnect _handle_connect _handle_disconnect _handle_event "
            "_handle_ack _trigger_event disconnect",
        ),
        (Manager, socketio.AsyncManager, "emit"),
        (Packet, socketio.packet.Packet, "decode _reconstruct_binary_internal"),
    ],
)
def test_every_method_that_is_replaced_exists(ours: type, theirs: type, names: str) -> None:
    for name in names.split():
        assert name in vars(ours), f"{name} is not replaced"
        before = inspect.signature(getattr(theirs, name)).parameters
        after = inspect.signature(getattr(ours, name)).parameters
        taken = [p.name for p in after.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        if name not in ("handle_request", "decode"):
            assert taken[: len(before)] == list(before)[: len(taken)], name


def test_what_is_used_as_it_is_exists() -> None:
    for name in ("on", "generate_id", "get_session", "save_session", "create_event", "reason"):
        assert hasattr(engineio.AsyncServer, name), name
    manager = socketio.AsyncManager
    for name in (
        "basic_enter_room", "basic_leave_room", "pre_connect", "connect", "disconnect",
        "is_connected", "sid_from_eio_sid", "eio_sid_from_sid", "get_participants",
        "get_namespaces", "_generate_ack_id", "initialize",
    ):  # fmt: skip
        assert hasattr(manager, name), name
    for name in ("_get_event_handler", "_get_namespace_handler", "emit", "call", "enter_room"):
        assert hasattr(socketio.AsyncServer, name), name
    assert set(vars(manager())) >= {
        "rooms", "callbacks", "pending_connect", "pending_disconnect"
    }  # fmt: skip


def test_the_engine_is_the_one_that_the_library_uses() -> None:
    server = SocketServer(ping_interval=0.3, transports=["websocket"])
    assert type(server.eio) is Engine
    assert set(server.eio.handlers) == {"connect", "message", "disconnect"}
    assert server.eio.handlers["message"] == server._handle_eio_message
    assert (server.eio.ping_interval, server.eio.transports) == (0.3, ["websocket"])
    assert server._binary_packet == {}
    assert server.packet_class is Packet
    assert server.environ == {}


def test_the_libraries_own_json_and_loggers_are_left_alone() -> None:
    import json
    import logging

    SocketServer()
    assert engineio.packet.Packet.json is engineio.json
    assert socketio.packet.Packet.json is engineio.json
    assert json.loads("1") == 1
    for name in ("engineio.server", "socketio.server"):
        assert not logging.getLogger(name).handlers


def test_aiohttp_gives_the_transport_of_a_request() -> None:
    assert isinstance(inspect.getattr_static(web.Request, "transport"), property)
    parameters = inspect.signature(web.WebSocketResponse).parameters
    assert {"compress", "max_msg_size", "protocols", "timeout"} <= set(parameters)
