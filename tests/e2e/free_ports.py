"""Ports for servers that have to be told theirs before they start."""

import contextlib
import pathlib
import random
import socket


def free_port():
    """A port of 127.0.0.1 that nobody has, and that the kernel gives to nobody who asks for any."""
    first_given = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10000, first_given)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
