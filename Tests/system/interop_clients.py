"""Interop clients in other languages: how each is built, and what it says of gRPC's interop cases."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from interop import interop_server
from server import ROOT

PROTO = ROOT / "proto"
FILES = [f"grpc/testing/{name}.proto" for name in ("empty", "messages", "test")]
SOURCES = Path(__file__).parent

Command = list[str]


def _run(directory: Path, *command: str, **environment: str) -> None:
    ran = subprocess.run(
        command, cwd=directory, env=os.environ | environment, capture_output=True, text=True, timeout=170, check=False
    )
    assert ran.returncode == 0, (
        f"{command[0]} failed; scripts/setup tests installs what it needs:\n{ran.stderr[-4000:]}"
    )


def _protoc(directory: Path, *options: str) -> None:
    _run(directory, "protoc", f"-I{PROTO}", *options, *FILES)


def _cpp(directory: Path) -> Command:
    _protoc(directory, "--cpp_out=.", "--grpc_out=.", "--plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin")
    sources = [*sorted(str(path) for path in directory.rglob("*.cc")), str(SOURCES / "interop_cpp/main.cc")]
    objects = [f"{number}.o" for number in range(len(sources))]

    def compile_one(source: str, made: str) -> None:
        _run(directory, "g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-I.", "-c", source, "-o", made)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, sources, objects))
    libraries = subprocess.run(
        ["pkg-config", "--libs", "grpc++", "protobuf"], check=True, capture_output=True, text=True, timeout=20
    )
    _run(directory, "g++", "-o", "client", *objects, *libraries.stdout.split())
    return ["./client"]


def _go(directory: Path) -> Command:
    # Debian packages Go's libraries as sources in a GOPATH.
    environment = {"GO111MODULE": "off", "GOPATH": f"{directory}:/usr/share/gocode", "GOFLAGS": ""}
    _run(directory, "go", "build", "github.com/golang/protobuf/protoc-gen-go", **environment)
    options = ",".join(["plugins=grpc", "paths=source_relative", *(f"M{name}=wire" for name in FILES)])
    package = directory / "src/wire"
    package.mkdir(parents=True)
    _protoc(directory, "--plugin=protoc-gen-go=./protoc-gen-go", f"--go_out={options}:{package}")
    for made in (package / "grpc/testing").iterdir():
        made.rename(package / made.name)
    _run(directory, "go", "build", "-o", "client", str(SOURCES / "interop_go/main.go"), **environment)
    return ["./client"]


# Debian's jars name no class path of their own.
JARS = [
    *["grpc-api", "grpc-context", "grpc-core", "grpc-netty", "grpc-protobuf", "grpc-protobuf-lite", "grpc-stub"],
    *["netty-buffer", "netty-codec", "netty-codec-http", "netty-codec-http2", "netty-common", "netty-handler"],
    *["netty-resolver", "netty-transport"],
    *["failureaccess", "geronimo-annotation-1.3-spec", "guava", "perfmark-api", "protobuf"],
]


def _java(directory: Path) -> Command:
    _protoc(directory, "--java_out=.", "--grpc-java_out=.", "--plugin=protoc-gen-grpc-java=/usr/bin/grpc_java_plugin")
    path = ":".join(f"/usr/share/java/{name}.jar" for name in JARS)
    generated = [str(path) for path in directory.rglob("*.java")]
    source = str(SOURCES / "interop_java/Interop.java")
    _run(directory, "javac", "-nowarn", "-cp", path, "-d", "classes", *generated, source)
    return ["java", "-cp", f"classes:{path}", "Interop"]


def _ruby(directory: Path) -> Command:
    return ["ruby", str(SOURCES / "interop_ruby/main.rb")]


BUILDERS: dict[str, Callable[[Path], Command]] = {"cpp": _cpp, "go": _go, "java": _java, "ruby": _ruby}


def said_by(client: str, directory: Path) -> dict[str, str]:
    """Builds the client in an empty directory and runs it: each case's name and its line."""
    command = BUILDERS[client](directory)
    with interop_server() as address:
        ran = subprocess.run(
            [*command, address], cwd=directory, capture_output=True, text=True, timeout=170, check=False
        )
    said = {
        line.split()[1].rstrip(":"): line for line in ran.stdout.splitlines() if line.startswith(("ok ", "failed "))
    }
    assert ran.returncode == 0, f"{command[0]} ended with {ran.returncode} after {said}:\n{ran.stderr[-4000:]}"
    return said
