"""Dial the addresses of a receiver: the next one soon after one that does not answer (RFC 8305).

`loop.sock_connect` is not used. That of uvloop has a thread look up each address again, which takes
the event loop more time than the connection itself.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence

from dispatcher.transport.addresses.egress import AddrInfo

NEXT_ADDRESS_SECONDS = 0.25
"""Time until the next address is tried in parallel with one that does not answer."""

SocketFactory = Callable[[AddrInfo], socket.socket]


async def dial(addresses: Sequence[AddrInfo], socket_factory: SocketFactory) -> socket.socket:
    """Return a socket that is connected to one of the addresses; sockets are non-blocking.

    Raise the OSError of the first address if all of them fail for the same reason, else one
    without a number.
    """
    if len(addresses) == 1:
        return await _dial_one(addresses[0], socket_factory)
    dialled: list[asyncio.Task[socket.socket]] = []
    winner = None
    try:
        winner = await _first(addresses, socket_factory, dialled)
        return winner.result()
    finally:
        # Nothing is waited for. Otherwise a cancellation here would leave the winner's socket open.
        for task in dialled:
            if not task.done():
                task.cancel()  # it closes its socket in the next iteration of the event loop
            elif task is not winner and task.exception() is None:
                task.result().close()  # it was connected in the same moment


async def _first(
    addresses: Sequence[AddrInfo],
    socket_factory: SocketFactory,
    dialled: list[asyncio.Task[socket.socket]],
) -> asyncio.Task[socket.socket]:
    """Return the first task that has connected; all that were started are in `dialled`."""
    running: set[asyncio.Task[socket.socket]] = set()
    for number, address in enumerate(addresses, 1):
        task = asyncio.create_task(_dial_one(address, socket_factory))
        dialled.append(task)
        running.add(task)
        timeout = NEXT_ADDRESS_SECONDS if number < len(addresses) else None
        while running:
            done, running = await asyncio.wait(
                running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
            for finished_task in done:
                if finished_task.exception() is None:
                    return finished_task
            if timeout is not None:
                break  # one has failed, or does not answer
    raise _error_of_all([error for attempt in dialled if (error := attempt.exception())])


def _error_of_all(errors: Sequence[BaseException]) -> BaseException:
    same = {getattr(error, "errno", None) for error in errors}
    return errors[0] if len(same) == 1 else OSError("none of the addresses answers")


async def _dial_one(address: AddrInfo, socket_factory: SocketFactory) -> socket.socket:
    sock = socket_factory(address)
    try:
        number = sock.connect_ex(address[-1])
        if number == errno.EINPROGRESS:
            number = await _error_number(sock)
    except BaseException:
        sock.close()
        raise
    if number:
        sock.close()
        raise OSError(number, os.strerror(number))
    return sock


async def _error_number(sock: socket.socket) -> int:
    """Wait until connecting has ended. Return 0 if it succeeded, else the number of the error."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.add_writer(sock, _wake, done)
    try:
        await done
    finally:
        loop.remove_writer(sock)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def _wake(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
