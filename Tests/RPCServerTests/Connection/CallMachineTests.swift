import Protocol
import Testing

@testable import RPCServer

struct CallMachineTests {
    private func receive(_ machine: inout CallMachine, _ bytes: [UInt8]) -> CallMachine.OnData {
        bytes.withUnsafeBytes { machine.received($0) }
    }

    private func code(_ action: CallMachine.OnData) -> StatusCode? {
        if case .refuse(let status) = action { status.code } else { nil }
    }

    private func code(_ action: CallMachine.OnHalfClosed) -> StatusCode? {
        if case .refuse(let status) = action { status.code } else { nil }
    }

    private let message: [UInt8] = [0, 0, 0, 0, 2, 7, 8]

    private func handling() -> CallMachine {
        var machine = CallMachine(messageLimit: 10)
        _ = receive(&machine, message)
        _ = machine.halfClosed()
        return machine
    }

    @Test func `a message and a half-close invoke the handler`() {
        var machine = CallMachine(messageLimit: 10)
        #expect(machine.isFresh)
        #expect(receive(&machine, Array(message[..<3])) == .none)
        #expect(!machine.isFresh)
        #expect(machine.buffered == 3)
        #expect(receive(&machine, Array(message[3...])) == .none)
        #expect(machine.buffered == 2)
        #expect(machine.halfClosed() == .invoke([7, 8]))
        #expect(machine.buffered == 0)
        #expect(!machine.isEnded)
    }

    @Test func `a half-close without a message is refused`() {
        var machine = CallMachine(messageLimit: 10)
        #expect(code(machine.halfClosed()) == .internal)
        #expect(machine.isEnded)
    }

    @Test func `a half-close within a message is refused`() {
        var machine = CallMachine(messageLimit: 10)
        _ = receive(&machine, Array(message.dropLast()))
        #expect(code(machine.halfClosed()) == .internal)
    }

    @Test func `a second message is refused`() {
        var machine = CallMachine(messageLimit: 10)
        #expect(code(receive(&machine, message + message)) == .unimplemented)
        #expect(machine.isEnded)
        #expect(machine.buffered == 0)
    }

    @Test func `a message over the limit is refused before it is held`() {
        var machine = CallMachine(messageLimit: 10)
        #expect(code(receive(&machine, [0, 0, 0, 0, 11])) == .resourceExhausted)
        #expect(machine.buffered == 0)
    }

    @Test func `after a refusal whatever comes is dropped`() {
        var machine = CallMachine(messageLimit: 10)
        _ = receive(&machine, [9, 0, 0, 0, 0])
        #expect(receive(&machine, message) == .none)
        #expect(machine.halfClosed() == .none)
        #expect(machine.finished() == false)
        #expect(machine.startedPulling() == false)
    }

    @Test func `a result counts once`() {
        var machine = handling()
        let (first, second) = (machine.finished(), machine.finished())
        #expect(first && !second)
        #expect(machine.isEnded)
    }

    @Test func `a source counts while its handler is awaited, and no later`() {
        var machine = handling()
        #expect(machine.startedPulling() == true)
        #expect(machine.startedPulling() == false)
        #expect(machine.finished() == true)
        var ended = handling()
        _ = ended.finished()
        #expect(ended.startedPulling() == false)
    }

    @Test func `data after the half-close is dropped`() {
        var machine = handling()
        #expect(receive(&machine, message) == .none)
        #expect(machine.halfClosed() == .none)
    }

    @Test func `a call handled at once has no request to wait for`() {
        var machine = CallMachine(messageLimit: 10)
        machine.handledAtOnce()
        #expect(machine.halfClosed() == .none)
        #expect(machine.finished() == true)
    }

    @Test func `a call ended before its request forgets what it held`() {
        var machine = CallMachine(messageLimit: 10)
        _ = receive(&machine, Array(message.dropLast()))
        #expect(machine.finished() == true)
        #expect(machine.buffered == 0)
    }
}
