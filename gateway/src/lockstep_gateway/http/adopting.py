"""granian on a socket that is open already: the only place that relies on its private parts.

By its public options granian opens a socket of its own. It would then share a port that another
process has, could not tell which port it got, and would drop the connections that wait while one
listener takes over from another. Upstream knows the wish: emmett-framework/granian#786.
"""

from __future__ import annotations

import os
import socket
from typing import Any, Final

import granian
from granian._granian import SocketHolder
from granian.server.embed import Server

NOT_OPEN: Final = -1


class AdoptingServer(Server):
    """granian's server in this event loop, on a socket that somebody else opened and closes.

    Args:
        app: The application (ASGI).
        sock: The socket.
        backlog: The connections that may wait to be accepted.
        options: granian's own.
    """

    def __init__(self, app: Any, sock: socket.socket, backlog: int, **options: Any) -> None:
        self.accepting = NOT_OPEN
        """The file from which granian accepts connections. It closes it when it stops."""
        self._sock = sock
        super().__init__(app, backlog=backlog, **options)
        self.on_startup(self._ensure_adopted)

    def _init_shared_socket(self) -> None:
        self.accepting = os.dup(self._sock.fileno())
        holder: Any = SocketHolder  # Its stub has no constructor.
        self._shd = holder(fd=self.accepting, uds=False, backlog=self.backlog)

    def _ensure_adopted(self) -> None:
        """Refuse to serve on another socket, before anybody could connect to it.

        Raises:
            RuntimeError: granian has changed.
        """
        if self.accepting == NOT_OPEN:
            raise RuntimeError(
                f"granian {granian.__version__} no longer asks _init_shared_socket for its socket:"
                " install the version that lockstep-gateway names"
            )
