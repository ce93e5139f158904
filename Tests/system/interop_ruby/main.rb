# gRPC's interop cases with Ruby (C core). Those that gRPC's own interop client has are run with that client, which
# Debian's ruby-grpc brings; the rest are here. Prints a line for each case: "ok NAME", or "failed NAME: REASON".
#
# usage: main.rb HOST:PORT
require 'grpc'

official = File.join(Gem::Specification.find_by_name('grpc').full_gem_path, 'src/ruby/pb/test/client.rb')
require official
# Calls that are to fail would be warned of, with backtraces.
GRPC.logger.level = Logger::ERROR

OFFICIAL = %w[
  empty_unary large_unary client_compressed_unary client_streaming client_compressed_streaming server_streaming
  ping_pong empty_stream custom_metadata status_code_and_message unimplemented_method unimplemented_service
  cancel_after_begin cancel_after_first_response timeout_on_sleeping_server
].freeze

RESPONSE_SIZES = [31_415, 9, 2653, 58_979].freeze
PATIENCE = 60

# What gRPC's own client has not.
class OtherCases
  include Grpc::Testing

  def initialize(address)
    @address = address
    @stub = connect
  end

  def cacheable_unary
    request = SimpleRequest.new(response_size: 128, payload: payload(10))
    headers = { 'x-user-ip' => '1.2.3.4', 'cache-control' => 'max-age=60' }
    first, second = Array.new(2) { @stub.cacheable_unary_call(request, metadata: headers, deadline: deadline) }
    check_body(first.payload, 128)
    assert('the second answer differs') { first == second }
  end

  # The library does not show whether an answer came compressed.
  def server_compressed_unary
    [true, false].each { |compressed| large_unary(@stub, response_compressed: BoolValue.new(value: compressed)) }
  end

  def server_compressed_streaming
    parameters = [[31_415, true], [92_653, false]].map do |size, compressed|
      ResponseParameters.new(size: size, compressed: BoolValue.new(value: compressed))
    end
    check_sizes(@stub.streaming_output_call(
                  StreamingOutputCallRequest.new(response_parameters: parameters), deadline: deadline
                ), [31_415, 92_653])
  end

  def half_duplex
    check_sizes(@stub.half_duplex_call(RESPONSE_SIZES.map { |size| output(size) }, deadline: deadline), RESPONSE_SIZES)
  end

  def special_status_message
    message = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \u{1f608}\t\n"
    @stub.unary_call(
      SimpleRequest.new(response_status: EchoStatus.new(code: 2, message: message)), deadline: deadline
    )
    raise AssertionError, 'not refused'
  rescue GRPC::Unknown => e
    assert("the message is #{e.details.inspect}") { e.details.dup.force_encoding('UTF-8') == message }
  end

  def slow_consumer
    count = 0
    @stub.streaming_output_call(output(*[1030] * 2000), deadline: deadline).each do |answer|
      check_body(answer.payload, 1030)
      count += 1
      # The case reads one in 20 ms throughout; its first quarter second fills every window.
      sleep 0.005 if count <= 50
    end
    assert("#{count} messages; 2000 asked for") { count == 2000 }
  end

  def concurrent_large_unary
    Array.new(32) { Thread.new { large_unary(@stub) } }.each(&:join)
  end

  def rpc_soak
    100.times { large_unary(@stub) }
  end

  def channel_soak
    20.times { large_unary(connect) }
  end

  private

  def connect
    TestService::Stub.new(
      @address, :this_channel_is_insecure, channel_args: { 'grpc.use_local_subchannel_pool' => 1 }
    )
  end

  def deadline
    Time.now + PATIENCE
  end

  def payload(size)
    Payload.new(body: nulls(size))
  end

  def output(*sizes)
    StreamingOutputCallRequest.new(response_parameters: sizes.map { |size| ResponseParameters.new(size: size) })
  end

  def large_unary(stub, **more)
    request = SimpleRequest.new(response_size: 314_159, payload: payload(271_828), **more)
    check_body(stub.unary_call(request, deadline: deadline).payload, 314_159)
  end

  def check_body(payload, size)
    assert("a payload of #{payload.body.length} bytes; #{size} asked for") { payload.body == nulls(size) }
  end

  def check_sizes(answers, sizes)
    came = answers.map { |answer| answer.payload.body.length }
    assert("payloads of #{came}; #{sizes} asked for") { came == sizes }
  end
end

def report(name)
  yield
  puts "ok #{name}"
rescue StandardError => e
  puts "failed #{name}: #{e.class}: #{e.message.lines.first}"
end

# Runs the block without what it prints.
def quietly
  kept = $stdout
  $stdout = StringIO.new
  yield
ensure
  $stdout = kept
end

abort 'usage: main.rb HOST:PORT' unless ARGV.length == 1
$stdout.sync = true
host, _, port = ARGV[0].rpartition(':')
OFFICIAL.each do |name|
  report(name) do
    arguments = Args.new(nil, host, '', nil, port, false, name, false)
    quietly { NamedTests.new(create_stub(arguments), arguments).public_send(name) }
  end
end
others = OtherCases.new(ARGV[0])
OtherCases.public_instance_methods(false).each { |name| report(name) { others.public_send(name) } }
