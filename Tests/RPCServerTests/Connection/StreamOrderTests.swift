import Testing

@testable import RPCServer

@Suite struct StreamOrderTests {
    private let endStream: UInt8 = 0x1

    private var order = StreamOrder()

    private mutating func data(_ stream: UInt32, flags: UInt8 = 0) -> StreamOrder.Violation? {
        order.began(type: 0, flags: flags, stream: stream, length: 10)
    }

    private mutating func headers(_ stream: UInt32, flags: UInt8 = 0) -> StreamOrder.Violation? {
        order.began(type: 1, flags: flags, stream: stream, length: 10)
    }

    private mutating func reset(_ stream: UInt32) -> StreamOrder.Violation? {
        order.began(type: 3, flags: 0, stream: stream, length: 4)
    }

    @Test mutating func `a call may have headers, messages and trailers`() {
        #expect(headers(1) == nil)
        #expect(data(1) == nil)
        #expect(headers(3) == nil)
        #expect(data(1) == nil)
        #expect(headers(1, flags: endStream) == nil)
    }

    @Test mutating func `nothing comes on a stream that the peer has ended`() {
        #expect(headers(1, flags: endStream) == nil)
        #expect(data(1) == .streamClosed)
        #expect(headers(1) == .streamClosed)
        #expect(headers(3) == nil)
        #expect(data(3, flags: endStream) == nil)
        #expect(data(3) == .streamClosed)
    }

    @Test mutating func `nothing comes on a stream that the peer has reset, but for a second reset`() {
        #expect(headers(1) == nil)
        #expect(reset(1) == nil)
        #expect(reset(1) == nil)
        #expect(data(1) == .streamClosed)
    }

    @Test mutating func `a stream that ended long ago is no longer known`() {
        for stream in stride(from: UInt32(1), to: 200, by: 2) { #expect(headers(stream, flags: endStream) == nil) }
        #expect(data(1) == nil)
        #expect(data(199) == .streamClosed)
    }

    @Test mutating func `a stream that was skipped is never opened`() {
        #expect(headers(1) == nil)
        #expect(headers(7) == nil)
        #expect(headers(3) == .protocolError)
        #expect(headers(5) == .protocolError)
        #expect(headers(1, flags: endStream) == nil)
        #expect(headers(9) == nil)
        #expect(headers(5) == .protocolError)
    }

    @Test mutating func `a priority is of a stream`() {
        #expect(order.began(type: 2, flags: 0, stream: 0, length: 5) == .protocolError)
        #expect(order.began(type: 2, flags: 0, stream: 1, length: 5) == nil)
    }

    @Test(arguments: [UInt8(0), 1, 2, 9, 0x16])
    mutating func `a frame has no more than 16 KiB`(type: UInt8) {
        #expect(order.began(type: type, flags: 0, stream: 1, length: 1 << 14) == nil)
        #expect(order.began(type: type, flags: 0, stream: 1, length: 1 << 14 + 1) == .frameSize)
    }
}
