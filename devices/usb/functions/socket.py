"""What is plugged into a socket: from its description to its state, and from its state to the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devices.usb.functions.base import Function, Wire
from devices.usb.functions.host import SPEEDS, Host
from devices.usb.functions.keyboard import ROOM, Keyboard, keyboard_room
from devices.usb.functions.mouse import Mouse
from devices.usb.functions.serial import Serial, serial_room
from devices.usb.functions.state import (
    DeviceState,
    HostState,
    KeyboardState,
    MouseState,
    SerialState,
    SocketState,
    StorageState,
)
from devices.usb.functions.storage import Storage
from devices.usb.messages import HostDescription, Kind, Plugged, StorageDescription

if TYPE_CHECKING:
    from devices.model import DeviceContext


def function_of(socket: SocketState, port: int, context: DeviceContext) -> Function | None:
    """The device in a socket, for the length of one message; None if there is none."""
    wire = Wire(port, context)
    match socket.kind:
        case Kind.KEYBOARD:
            return Keyboard(socket.keyboard[0], wire)
        case Kind.MOUSE:
            return Mouse(socket.mouse[0], wire)
        case Kind.STORAGE:
            return Storage(socket.storage[0], socket, wire)
        case Kind.SERIAL:
            return Serial(socket.serial[0], wire)
        case Kind.HOST:
            return Host(socket.host[0], socket, wire)
        case _:
            return None


def plug_in(socket: SocketState, message: Plugged) -> None:
    """Put the device of a description into an empty socket."""
    socket.kind = message.kind
    match message.kind, message.description:
        case Kind.KEYBOARD, _:
            socket.keyboard = (KeyboardState(DeviceState()),)
        case Kind.MOUSE, _:
            socket.mouse = (MouseState(DeviceState()),)
        case Kind.SERIAL, _:
            socket.serial = (SerialState(DeviceState()),)
        case Kind.STORAGE, StorageDescription(size, block_size, read_only):
            socket.storage = (StorageState(DeviceState(), size, block_size, read_only),)
        case Kind.HOST, HostDescription(speed, device, configuration):
            socket.host = (HostState(SPEEDS[speed], device, configuration),)
        case _:
            raise AssertionError(f"{message} is no description of a {message.kind.name}")


def pull_out(socket: SocketState) -> None:
    """Leave a socket empty."""
    socket.kind = 0
    socket.keyboard = ()
    socket.mouse = ()
    socket.storage = ()
    socket.serial = ()
    socket.host = ()


def room_of(socket: SocketState) -> int:
    """Bytes of input that a socket can take."""
    for keyboard in socket.keyboard:
        return keyboard_room(keyboard)
    for serial in socket.serial:
        return serial_room(serial)
    return ROOM
