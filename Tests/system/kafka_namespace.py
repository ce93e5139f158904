"""The mock cluster in a network namespace of its own, as a program: nobody outside reaches its brokers, which advertise
addresses of loopback, but through a unix socket for each port. Prints the ports; a line on standard input is answered
by a line with all that is in the topic; it ends with its standard input."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import socket
import struct
import sys
import threading
from pathlib import Path

from kafka_cluster import Cluster, read_by_confluent

SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40


def main(directory: Path) -> None:
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP | IFF_RUNNING))
    cluster = Cluster()
    ports = [int(address.rpartition(":")[2]) for address in cluster.bootstrap_servers.split(",")]
    for port in ports:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(directory / str(port)))
        listener.listen()
        threading.Thread(target=_serve, args=(listener, port), daemon=True).start()
    print(json.dumps(ports), flush=True)
    for _ in sys.stdin:
        print(json.dumps([dataclasses.asdict(message) for message in read_by_confluent(cluster)]), flush=True)
    cluster.close()


def _serve(listener: socket.socket, port: int) -> None:
    while True:
        near, _ = listener.accept()
        far = socket.create_connection(("127.0.0.1", port))
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=_copy, args=(source, sink), daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
