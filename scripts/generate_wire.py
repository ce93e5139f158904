"""Writes the Swift value types of messages from a descriptor set, the descriptor set that protoc-c is fed, and the
descriptors that reflection serves.

protobuf-c ends a string at its first NUL and does not check UTF-8, so C is generated with every `string` declared as
`bytes` (the same on the wire): lengths are exact, and the Swift types check what they read. Map fields become the
repeated entries that they are on the wire.

usage: generate_wire.py DESCRIBED.pb PLAIN.pb SWIFT_DIR C_MODULE DESCRIPTORS PROTO...

Types are written for the named files. DESCRIPTORS names the constant that has the descriptors of all files in the set.
"""

import base64
import pathlib
import re
import sys
import textwrap

from google.protobuf import descriptor_pb2

Field = descriptor_pb2.FieldDescriptorProto

SCALARS = {
    Field.TYPE_DOUBLE: ("Double", "0"),
    Field.TYPE_FLOAT: ("Float", "0"),
    Field.TYPE_INT32: ("Int32", "0"),
    Field.TYPE_INT64: ("Int64", "0"),
    Field.TYPE_UINT32: ("UInt32", "0"),
    Field.TYPE_UINT64: ("UInt64", "0"),
    Field.TYPE_BOOL: ("Bool", "false"),
    Field.TYPE_STRING: ("String", '""'),
    Field.TYPE_BYTES: ("[UInt8]", "[]"),
}


def camel(word: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in word.split("_"))


def c_type(full_name: str) -> str:
    return "__".join(camel(part) for part in full_name.lstrip(".").split("."))


def c_lower(full_name: str) -> str:
    def lower(part: str) -> str:
        return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", part).lower()

    return "__".join(lower(part) for part in full_name.lstrip(".").split("."))


def swift_type(name: str) -> str:
    # A type may not be called Any in Swift.
    return "AnyMessage" if name == "Any" else name


def swift_field(name: str) -> str:
    first, *rest = name.split("_")
    special = {"id": "ID", "ids": "IDs"}
    return first + "".join(special.get(part, part.capitalize()) for part in rest)


def comment(text: str, indent: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines()]
    return "".join(f"{indent}/// {line}".rstrip() + "\n" for line in lines)


class Types:
    def __init__(self, files: descriptor_pb2.FileDescriptorSet) -> None:
        self.maps: dict[str, descriptor_pb2.DescriptorProto] = {}
        self.swift: dict[str, str] = {}
        for file in files.file:
            prefix = f".{file.package}"
            for enum in file.enum_type:
                self.swift[f"{prefix}.{enum.name}"] = f"Wire.{enum.name}"
            for message in file.message_type:
                self._add(prefix, "Wire", message)

    def _add(self, prefix: str, swift: str, message: descriptor_pb2.DescriptorProto) -> None:
        full, name = f"{prefix}.{message.name}", f"{swift}.{swift_type(message.name)}"
        self.swift[full] = name
        for enum in message.enum_type:
            self.swift[f"{full}.{enum.name}"] = f"{name}.{enum.name}"
        for nested in message.nested_type:
            if nested.options.map_entry:
                self.maps[f"{full}.{nested.name}"] = nested
            else:
                self._add(full, name, nested)


class Member:
    """One field: its Swift declaration, and the lines that read and write it."""

    def __init__(
        self,
        types: Types,
        field: descriptor_pb2.FieldDescriptorProto,
        parent: descriptor_pb2.DescriptorProto,
        parent_name: str,
    ) -> None:
        self.name = swift_field(field.name)
        self.c = field.name
        self.proto = field.name
        self.repeated = field.label == Field.LABEL_REPEATED
        self.type = field.type
        self.full = field.type_name
        self.map = types.maps.get(field.type_name)
        self.oneof: str | None = None
        if self.map is not None:
            key, value = self.map.field
            if key.type != Field.TYPE_STRING or value.type not in (Field.TYPE_STRING, Field.TYPE_MESSAGE):
                raise SystemExit(f"{field.name}: only maps from string to string or to a message are supported")
            self.value = Member(types, value, self.map, field.type_name)
            self.swift, self.default = f"[String: {self.value.element}]", "[:]"
            return
        if field.type in SCALARS:
            self.element, self.default = SCALARS[field.type]
        elif field.type == Field.TYPE_ENUM:
            self.element, self.default = types.swift[field.type_name], ".init(rawValue: 0)"
        elif field.type == Field.TYPE_MESSAGE:
            self.element, self.default = types.swift[field.type_name], "nil"
        else:
            raise SystemExit(f"{field.name}: a field type this generator does not know")
        if field.HasField("oneof_index"):
            # Set or not is the whole of some messages' meaning, so each member of a oneof is optional.
            self.oneof = parent.oneof_decl[field.oneof_index].name
            self.oneof_type = f"{c_type(parent_name)}__{camel(self.oneof)}Case"
            self.number = field.number
            self.swift, self.default = f"{self.element}?", "nil"
        elif self.repeated:
            self.swift, self.default = f"[{self.element}]", "[]"
        elif field.type == Field.TYPE_MESSAGE:
            self.swift = f"{self.element}?"
        else:
            self.swift = self.element

    def read_element(self, value: str) -> str:
        if self.type == Field.TYPE_STRING:
            return f'try wireString({value}, "{self.proto}")'
        if self.type == Field.TYPE_BYTES:
            return f"wireBytes({value})"
        if self.type == Field.TYPE_BOOL:
            return f"{value} != 0"
        if self.type == Field.TYPE_ENUM:
            return f"{self.element}(rawValue: Int32(bitPattern: {value}.rawValue))"
        if self.type == Field.TYPE_MESSAGE:
            return f'try nested("{self.proto}") {{ () throws(WireError) in try {self.element}(wire: {value}) }}'
        return value

    def read_map_value(self) -> str:
        if self.value.type == Field.TYPE_STRING:
            return f'try wireString(entry.pointee.value, "{self.proto}")'
        # An entry without a value has the default one.
        element = self.value.read_element("UnsafeRawPointer(value)").replace('"value"', f'"{self.proto}"')
        return f"if let value = entry.pointee.value {{ {element} }} else {{ {self.value.element}() }}"

    def read(self) -> str:
        if self.map is not None:
            return (
                f"        for index in 0..<c.n_{self.c} {{\n"
                f"            guard let entry = c.{self.c}[index] else {{ continue }}\n"
                f'            {self.name}[try wireString(entry.pointee.key, "{self.proto}")] = '
                f"{self.read_map_value()}\n"
                f"        }}\n"
            )
        if self.oneof is not None:
            element = self.read_element(f"c.{self.c}")
            if self.type == Field.TYPE_MESSAGE:
                element = self.read_element("UnsafeRawPointer(value)")
                return (
                    f"        if c.{self.oneof}_case.rawValue == {self.number}, let value = c.{self.c} {{\n"
                    f"            {self.name} = {element}\n        }}\n"
                )
            return f"        if c.{self.oneof}_case.rawValue == {self.number} {{ {self.name} = {element} }}\n"
        if self.repeated:
            loop = ""
            element = self.read_element(f"c.{self.c}[index]")
            if self.type == Field.TYPE_MESSAGE:
                loop = f"            guard let element = c.{self.c}[index] else {{ continue }}\n"
                element = self.read_element("UnsafeRawPointer(element)")
            body = f"{loop}            {self.name}.append({element})\n"
            return f"        for index in 0..<c.n_{self.c} {{\n{body}        }}\n"
        if self.type == Field.TYPE_MESSAGE:
            element = self.read_element("UnsafeRawPointer(value)")
            return f"        if let value = c.{self.c} {{ {self.name} = {element} }}\n"
        return f"        {self.name} = {self.read_element('c.' + self.c)}\n"

    def write_element(self, value: str) -> str:
        if self.type == Field.TYPE_STRING:
            return f"arena.binary({value})"
        if self.type == Field.TYPE_BYTES:
            return f"arena.binary({value})"
        if self.type == Field.TYPE_BOOL:
            return f"{value} ? 1 : 0"
        if self.type == Field.TYPE_ENUM:
            return f"{c_type(self.full)}(rawValue: UInt32(bitPattern: {value}.rawValue))"
        if self.type == Field.TYPE_MESSAGE:
            return f"{value}.wire(in: arena).assumingMemoryBound(to: {c_type(self.full)}.self)"
        return value

    def write(self) -> str:
        if self.map is not None:
            entry = c_type(self.full)
            return (
                f"        c.pointee.n_{self.c} = {self.name}.count\n"
                f"        c.pointee.{self.c} = arena.array({self.name}.sorted {{ $0.key < $1.key }}) {{ pair in\n"
                f"            let entry = arena.message({entry}.self)\n"
                f"            {c_lower(self.full)}__init(entry)\n"
                f"            entry.pointee.key = arena.binary(pair.key)\n"
                f"            entry.pointee.value = {self.value.write_element('pair.value')}\n"
                f"            return entry\n"
                f"        }}\n"
            )
        if self.oneof is not None:
            return (
                f"        if let {self.name} {{\n"
                f"            c.pointee.{self.oneof}_case = {self.oneof_type}(rawValue: {self.number})\n"
                f"            c.pointee.{self.c} = {self.write_element(self.name)}\n        }}\n"
            )
        if self.repeated:
            return (
                f"        c.pointee.n_{self.c} = {self.name}.count\n"
                f"        c.pointee.{self.c} = arena.array({self.name}) {{ {self.write_element('$0')} }}\n"
            )
        if self.type == Field.TYPE_MESSAGE:
            return f"        if let {self.name} {{ c.pointee.{self.c} = {self.write_element(self.name)} }}\n"
        return f"        c.pointee.{self.c} = {self.write_element(self.name)}\n"


class Comments:
    def __init__(self, file: descriptor_pb2.FileDescriptorProto) -> None:
        if file.package == "google.protobuf":  # long, and not ours
            self.at = {}
            return
        self.at = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}

    def of(self, *path: int) -> str:
        return self.at.get(path, "")


def enum_swift(enum: descriptor_pb2.EnumDescriptorProto, comments: Comments, path: tuple[int, ...]) -> str:
    prefix = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", enum.name).upper() + "_"
    out = comment(comments.of(*path), "    ")
    out += f"    public struct {enum.name}: RawRepresentable, Sendable, Hashable {{\n"
    out += "        public var rawValue: Int32\n"
    out += "        public init(rawValue: Int32) { self.rawValue = rawValue }\n\n"
    for position, value in enumerate(enum.value):
        out += comment(comments.of(*path, 2, position), "        ")
        name = swift_field(value.name.removeprefix(prefix).lower())
        out += f"        public static let {name} = {enum.name}(rawValue: {value.number})\n"
    return out + "    }\n"


def message_swift(types, message, full, swift, comments, path) -> tuple[str, str]:
    """The declaration, to stand inside its parent, and the conformances, to stand in the file."""
    members = [Member(types, field, message, full) for field in message.field]
    declaration = comment(comments.of(*path), "    ")
    declaration += f"    public struct {swift_type(message.name)}: Sendable, Equatable {{\n"
    conformances = ""
    for index, enum in enumerate(message.enum_type):
        declaration += enum_swift(enum, comments, (*path, 4, index)) + "\n"
    for index, nested in enumerate(message.nested_type):
        if not nested.options.map_entry:
            inner, outer = message_swift(
                types, nested, f"{full}.{nested.name}", f"{swift}.{nested.name}", comments, (*path, 3, index)
            )
            declaration += inner + "\n"
            conformances += outer
    for index, member in enumerate(members):
        declaration += comment(comments.of(*path, 2, index), "        ")
        declaration += f"        public var {member.name}: {member.swift} = {member.default}\n"
    parameters = ", ".join(f"{member.name}: {member.swift} = {member.default}" for member in members)
    assignments = "".join(f"            self.{member.name} = {member.name}\n" for member in members)
    body = f"{{\n{assignments}        }}" if members else "{}"
    declaration += f"\n        public init({parameters}) {body}\n    }}\n"

    c, lower = c_type(full), c_lower(full)
    conformances += f"\nextension {swift}: WireMessage {{\n"
    conformances += (
        "    public static func unpack(_ bytes: UnsafeRawBufferPointer, in arena: Arena) -> UnsafeRawPointer? {\n"
    )
    if len(path) == 2:
        conformances += (
            f"        UnsafeRawPointer({lower}__unpack(arena.allocator, bytes.count, bytes.bytes))\n    }}\n\n"
        )
    else:
        # protobuf-c has no unpack function for a nested message; its descriptor stands in every initialised one.
        conformances += f"        let empty = arena.message({c}.self)\n        {lower}__init(empty)\n"
        conformances += "        return UnsafeRawPointer(protobuf_c_message_unpack(empty.pointee.base.descriptor, "
        conformances += "arena.allocator, bytes.count, bytes.bytes))\n    }\n\n"
    if members:
        conformances += "    public init(wire: UnsafeRawPointer) throws(WireError) {\n"
        conformances += f"        self.init()\n        let c = wire.assumingMemoryBound(to: {c}.self).pointee\n"
        conformances += "".join(member.read() for member in members) + "    }\n\n"
    else:
        conformances += "    public init(wire: UnsafeRawPointer) throws(WireError) { self.init() }\n\n"
    conformances += "    public func wire(in arena: Arena) -> UnsafeMutableRawPointer {\n"
    conformances += f"        let c = arena.message({c}.self)\n        {lower}__init(c)\n"
    conformances += "".join(member.write() for member in members)
    conformances += "        return UnsafeMutableRawPointer(c)\n    }\n}\n"
    return declaration, conformances


def swift_file(types: Types, file: descriptor_pb2.FileDescriptorProto, c_module: str) -> str:
    comments = Comments(file)
    imports = f"import {c_module}\n" + ("" if c_module == "CProto" else "import Protocol\n")
    out = f"// Generated by scripts/generate from proto/{file.name}. Do not edit.\n\n{imports}\nextension Wire {{\n"
    bodies, conformances = [], ""
    for index, enum in enumerate(file.enum_type):
        bodies.append(enum_swift(enum, comments, (5, index)))
    for index, message in enumerate(file.message_type):
        declaration, conformance = message_swift(
            types, message, f".{file.package}.{message.name}", f"Wire.{swift_type(message.name)}", comments, (4, index)
        )
        bodies.append(declaration)
        conformances += conformance
    return out + "\n".join(bodies) + "}\n" + conformances


def plain(message: descriptor_pb2.DescriptorProto) -> None:
    message.options.ClearField("map_entry")
    for field in message.field:
        if field.type == Field.TYPE_STRING:
            field.type = Field.TYPE_BYTES
    for nested in message.nested_type:
        plain(nested)


def symbols(file: descriptor_pb2.FileDescriptorProto) -> list[str]:
    """The full name of everything the file declares."""
    found = []

    def enum_symbols(enum: descriptor_pb2.EnumDescriptorProto, scope: str) -> None:
        found.append(f"{scope}.{enum.name}")
        # A value stands beside its enum, not inside.
        found.extend(f"{scope}.{value.name}" for value in enum.value)

    def message_symbols(message: descriptor_pb2.DescriptorProto, scope: str) -> None:
        full = f"{scope}.{message.name}"
        found.append(full)
        for part in [*message.field, *message.oneof_decl]:
            found.append(f"{full}.{part.name}")
        for enum in message.enum_type:
            enum_symbols(enum, full)
        for nested in message.nested_type:
            message_symbols(nested, full)

    for message in file.message_type:
        message_symbols(message, file.package)
    for enum in file.enum_type:
        enum_symbols(enum, file.package)
    for service in file.service:
        found.append(f"{file.package}.{service.name}")
        found.extend(f"{file.package}.{service.name}.{method.name}" for method in service.method)
    return found


def descriptors_swift(files: list[descriptor_pb2.FileDescriptorProto], constant: str, c_module: str) -> str:
    def literal(lines: list[str], joint: str) -> str:
        # One literal each: the compiler is slow at long array literals.
        return '"""\n' + "".join(f"            {line}{joint}\n" for line in lines) + '            """'

    out = "// Generated by scripts/generate from proto/. Do not edit.\n\n"
    out += "" if c_module == "CProto" else "import Protocol\n\n"
    out += "extension DescriptorFile {\n    /// What reflection serves.\n"
    out += f"    public static let {constant}: [DescriptorFile] = [\n"
    for file in files:
        bare = descriptor_pb2.FileDescriptorProto()
        bare.CopyFrom(file)
        bare.ClearField("source_code_info")
        packed = base64.b64encode(bare.SerializeToString(deterministic=True)).decode()
        imports = ", ".join(f'"{name}"' for name in file.dependency)
        out += f'        DescriptorFile(\n            name: "{file.name}", imports: [{imports}],\n'
        out += f"            symbols: {literal(symbols(file), '')},\n"
        out += f"            base64: {literal(textwrap.wrap(packed, 100), chr(92))}),\n"
    return out.replace(chr(92) + '\n            """', '\n            """') + "    ]\n}\n"


def main() -> None:
    described, plain_path, directory = (pathlib.Path(argument) for argument in sys.argv[1:4])
    c_module, constant, *named = sys.argv[4:]
    files = descriptor_pb2.FileDescriptorSet.FromString(described.read_bytes())
    types = Types(files)
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.swift"):
        old.unlink()
    for file in files.file:
        if file.name in named:
            stem = "Wire" + camel(pathlib.PurePath(file.name).stem)
            (directory / f"{stem}.swift").write_text(swift_file(types, file, c_module))
    (directory / "Descriptors.swift").write_text(descriptors_swift(list(files.file), constant, c_module))
    for file in files.file:
        for message in file.message_type:
            plain(message)
        file.ClearField("source_code_info")
    plain_path.write_bytes(files.SerializeToString())


main()
