"""gRPC's interop cases, and which client runs which; Documentation/interop.md shows the table.

Left out of gRPC's list: the cases that need Google's credentials, and those of load reports (ORCA), which this server
does not make.
"""

from __future__ import annotations

CASES = [
    "empty_unary",
    "cacheable_unary",
    "large_unary",
    "client_compressed_unary",
    "server_compressed_unary",
    "client_streaming",
    "client_compressed_streaming",
    "server_streaming",
    "server_compressed_streaming",
    "ping_pong",
    "empty_stream",
    "half_duplex",
    "custom_metadata",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
    "cancel_after_begin",
    "cancel_after_first_response",
    "timeout_on_sleeping_server",
    "slow_consumer",
    "concurrent_large_unary",
    "rpc_soak",
    "channel_soak",
]

# In Python, a module of tests each; and programs in other languages.
PYTHON_CLIENTS = {"grpcio": "test_interop", "grpclib": "test_interop_grpclib", "connectrpc": "test_interop_connectrpc"}
PROGRAMS = ["cpp", "go", "java", "ruby"]

NO_COMPRESSION = "it does not compress"

# What a client's library cannot express, and why.
IMPOSSIBLE: dict[str, dict[str, str]] = {
    "grpclib": {
        "client_compressed_unary": NO_COMPRESSION,
        "server_compressed_unary": NO_COMPRESSION,
        "client_compressed_streaming": NO_COMPRESSION,
        "server_compressed_streaming": NO_COMPRESSION,
    },
    "connectrpc": {"cancel_after_begin": "its synchronous client gives no hold on a call before the answer"},
}


def table() -> str:
    """As Markdown; the figures are those of the reasons below it."""
    clients = [*PYTHON_CLIENTS, *PROGRAMS]
    reasons = list(dict.fromkeys(reason for client in clients for reason in IMPOSSIBLE.get(client, {}).values()))
    rows = [["case", *clients], ["---", *["---"] * len(clients)]]
    for case in CASES:
        missing = [IMPOSSIBLE.get(client, {}).get(case) for client in clients]
        rows.append(
            [f"`{case}`", *("yes" if reason is None else f"no ({reasons.index(reason) + 1})" for reason in missing)]
        )
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", *(f"{number}. {reason}" for number, reason in enumerate(reasons, 1))])
