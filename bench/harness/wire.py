"""The few bytes of protobuf and HTTP/2 that the benchmarks send themselves."""

SERVICE = "dspy_orchestrator.v1.Orchestrator"
GRPC_HEADERS = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
# The preface and an empty SETTINGS frame, and its acknowledgement: a connection that has said hello and waits.
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4" + bytes(5)
SETTINGS_ACK = bytes(3) + b"\4\1" + bytes(4)


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message
