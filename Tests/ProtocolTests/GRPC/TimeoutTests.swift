import Protocol
import Testing

struct TimeoutTests {
    @Test(arguments: [
        ("1H", Duration.seconds(3600)), ("2M", .seconds(120)), ("3S", .seconds(3)), ("4m", .milliseconds(4)),
        ("5u", .microseconds(5)), ("6n", .nanoseconds(6)), ("0S", .zero), ("00000001S", .seconds(1)),
        ("99999999H", .seconds(99_999_999 * 3600)),
    ])
    func `each unit, up to eight digits`(text: String, duration: Duration) {
        #expect(Timeout.parse(text) == duration)
    }

    @Test(arguments: [
        "", "S", "1", "1s", "1h", "-1S", "+1S", "1.5S", " 1S", "1S ", "1 S", "100000000S", "１S", "1SS", "0x1S", "n1",
    ])
    func `anything else is refused`(text: String) {
        #expect(Timeout.parse(text) == nil)
    }
}
