// gRPC's interop cases with gRPC C++ (the C core, an HTTP/2 stack of its own). Prints a line for each case: "ok NAME",
// or "failed NAME: REASON".
//
// usage: interop_cpp HOST:PORT

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "grpc/testing/test.grpc.pb.h"

// The C core's own, exported for such tests: bit 30 of the flags says that the last message came compressed.
uint32_t grpc_call_test_only_get_message_flags(grpc_call* call);

namespace grpc::testing {
// ClientContext knows this name as a friend.
class InteropClientContextInspector {
 public:
  static bool WasCompressed(const grpc::ClientContext& context) {
    return (grpc_call_test_only_get_message_flags(context.call_) & 0x40000000U) != 0;
  }
};
}  // namespace grpc::testing

namespace {

using grpc::testing::InteropClientContextInspector;
using grpc::testing::TestService;
namespace wire = grpc::testing;

constexpr int kLargeRequest = 271828;
constexpr int kLargeResponse = 314159;
constexpr int kRequestSizes[] = {27182, 8, 1828, 45904};
constexpr int kResponseSizes[] = {31415, 9, 2653, 58979};
constexpr char kInitial[] = "x-grpc-test-echo-initial";
constexpr char kTrailing[] = "x-grpc-test-echo-trailing-bin";
constexpr auto kPatience = std::chrono::seconds(60);

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void Check(bool holds, const std::string& what) {
  if (!holds) throw Failure(what);
}

void CheckStatus(const grpc::Status& status, grpc::StatusCode code) {
  Check(status.error_code() == code, "status " + std::to_string(status.error_code()) + " \"" + status.error_message() +
                                         "\"; expected " + std::to_string(code));
}

void CheckOK(const grpc::Status& status) { CheckStatus(status, grpc::StatusCode::OK); }

void CheckBody(const wire::Payload& payload, int size) {
  Check(payload.body() == std::string(size, '\0'),
        "a payload of " + std::to_string(payload.body().size()) + " bytes; " + std::to_string(size) + " asked for");
}

void CheckSum(const wire::StreamingInputCallResponse& response, int sum) {
  const int came = response.aggregated_payload_size();
  Check(came == sum, "the sum is " + std::to_string(came) + "; " + std::to_string(sum) + " was sent");
}

struct Client {
  std::string address;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<TestService::Stub> stub;

  explicit Client(std::string to) : address(std::move(to)) {
    grpc::ChannelArguments arguments;
    arguments.SetInt("grpc.use_local_subchannel_pool", 1);
    channel = grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
    stub = TestService::NewStub(channel);
  }
};

struct Context : grpc::ClientContext {
  Context() { set_deadline(std::chrono::system_clock::now() + kPatience); }
};

wire::SimpleRequest LargeRequest() {
  wire::SimpleRequest request;
  request.set_response_size(kLargeResponse);
  request.mutable_payload()->set_body(std::string(kLargeRequest, '\0'));
  return request;
}

void LargeUnary(TestService::Stub& stub, grpc::ClientContext& context,
                const wire::SimpleRequest& request = LargeRequest()) {
  wire::SimpleResponse response;
  CheckOK(stub.UnaryCall(&context, request, &response));
  CheckBody(response.payload(), kLargeResponse);
}

wire::StreamingOutputCallRequest Output(std::initializer_list<int> sizes, int payload = 0) {
  wire::StreamingOutputCallRequest request;
  for (int size : sizes) request.add_response_parameters()->set_size(size);
  if (payload > 0) request.mutable_payload()->set_body(std::string(payload, '\0'));
  return request;
}

void EmptyUnary(Client& client) {
  Context context;
  wire::Empty response;
  CheckOK(client.stub->EmptyCall(&context, wire::Empty(), &response));
}

void CacheableUnary(Client& client) {
  wire::SimpleRequest request;
  request.set_response_size(128);
  request.mutable_payload()->set_body("1234567890");
  std::string first;
  for (int round = 0; round < 2; ++round) {
    Context context;
    context.AddMetadata("x-user-ip", "1.2.3.4");
    wire::SimpleResponse response;
    CheckOK(client.stub->CacheableUnaryCall(&context, request, &response));
    CheckBody(response.payload(), 128);
    if (round == 0) first = response.SerializeAsString();
    Check(response.SerializeAsString() == first, "the second answer differs");
  }
}

void LargeUnaryCase(Client& client) {
  Context context;
  LargeUnary(*client.stub, context);
}

void ClientCompressedUnary(Client& client) {
  wire::SimpleRequest request = LargeRequest();
  request.mutable_expect_compressed()->set_value(true);
  Context probe;
  wire::SimpleResponse response;
  CheckStatus(client.stub->UnaryCall(&probe, request, &response), grpc::StatusCode::INVALID_ARGUMENT);
  for (bool compressed : {true, false}) {
    Context context;
    if (compressed) context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
    request.mutable_expect_compressed()->set_value(compressed);
    LargeUnary(*client.stub, context, request);
  }
}

void ServerCompressedUnary(Client& client) {
  for (bool compressed : {true, false}) {
    wire::SimpleRequest request = LargeRequest();
    request.mutable_response_compressed()->set_value(compressed);
    Context context;
    LargeUnary(*client.stub, context, request);
    Check(InteropClientContextInspector::WasCompressed(context) == compressed,
          compressed ? "the answer came as it is" : "the answer came compressed");
  }
}

void ClientStreaming(Client& client) {
  Context context;
  wire::StreamingInputCallResponse response;
  auto writer = client.stub->StreamingInputCall(&context, &response);
  for (int size : kRequestSizes) {
    wire::StreamingInputCallRequest request;
    request.mutable_payload()->set_body(std::string(size, '\0'));
    Check(writer->Write(request), "the stream broke");
  }
  writer->WritesDone();
  CheckOK(writer->Finish());
  CheckSum(response, 74922);
}

void ClientCompressedStreaming(Client& client) {
  wire::StreamingInputCallRequest request;
  request.mutable_expect_compressed()->set_value(true);
  request.mutable_payload()->set_body(std::string(27182, '\0'));
  {
    // No half-close: the server has to end the call on its own.
    Context probe;
    wire::StreamingInputCallResponse response;
    auto writer = client.stub->StreamingInputCall(&probe, &response);
    writer->Write(request);
    CheckStatus(writer->Finish(), grpc::StatusCode::INVALID_ARGUMENT);
  }
  Context context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  wire::StreamingInputCallResponse response;
  auto writer = client.stub->StreamingInputCall(&context, &response);
  Check(writer->Write(request), "the stream broke at the compressed message");
  request.mutable_expect_compressed()->set_value(false);
  request.mutable_payload()->set_body(std::string(45904, '\0'));
  Check(writer->Write(request, grpc::WriteOptions().set_no_compression()), "the stream broke at the plain message");
  writer->WritesDone();
  CheckOK(writer->Finish());
  CheckSum(response, 73086);
}

void ServerStreaming(Client& client) {
  Context context;
  auto reader = client.stub->StreamingOutputCall(&context, Output({31415, 9, 2653, 58979}));
  wire::StreamingOutputCallResponse response;
  for (int size : kResponseSizes) {
    Check(reader->Read(&response), "the answers ended early");
    CheckBody(response.payload(), size);
  }
  Check(!reader->Read(&response), "an answer too many");
  CheckOK(reader->Finish());
}

void ServerCompressedStreaming(Client& client) {
  wire::StreamingOutputCallRequest request = Output({31415, 92653});
  request.mutable_response_parameters(0)->mutable_compressed()->set_value(true);
  request.mutable_response_parameters(1)->mutable_compressed()->set_value(false);
  Context context;
  auto reader = client.stub->StreamingOutputCall(&context, request);
  wire::StreamingOutputCallResponse response;
  Check(reader->Read(&response), "no first answer");
  CheckBody(response.payload(), 31415);
  Check(InteropClientContextInspector::WasCompressed(context), "the first answer came as it is");
  Check(reader->Read(&response), "no second answer");
  CheckBody(response.payload(), 92653);
  Check(!InteropClientContextInspector::WasCompressed(context), "the second answer came compressed");
  CheckOK(reader->Finish());
}

void PingPong(Client& client) {
  Context context;
  auto stream = client.stub->FullDuplexCall(&context);
  wire::StreamingOutputCallResponse response;
  for (size_t index = 0; index < 4; ++index) {
    Check(stream->Write(Output({kResponseSizes[index]}, kRequestSizes[index])), "the stream broke");
    Check(stream->Read(&response), "the answers ended early");
    CheckBody(response.payload(), kResponseSizes[index]);
  }
  stream->WritesDone();
  Check(!stream->Read(&response), "an answer too many");
  CheckOK(stream->Finish());
}

void EmptyStream(Client& client) {
  Context context;
  auto stream = client.stub->FullDuplexCall(&context);
  stream->WritesDone();
  wire::StreamingOutputCallResponse response;
  Check(!stream->Read(&response), "an answer to nothing");
  CheckOK(stream->Finish());
}

void HalfDuplex(Client& client) {
  Context context;
  auto stream = client.stub->HalfDuplexCall(&context);
  for (int size : kResponseSizes) Check(stream->Write(Output({size})), "the stream broke");
  stream->WritesDone();
  wire::StreamingOutputCallResponse response;
  for (int size : kResponseSizes) {
    Check(stream->Read(&response), "the answers ended early");
    CheckBody(response.payload(), size);
  }
  CheckOK(stream->Finish());
}

void CheckEcho(const grpc::ClientContext& context) {
  const auto& initial = context.GetServerInitialMetadata();
  auto text = initial.find(kInitial);
  Check(text != initial.end() && text->second == "test_initial_metadata_value", "no initial metadata");
  const auto& trailing = context.GetServerTrailingMetadata();
  auto bytes = trailing.find(kTrailing);
  Check(bytes != trailing.end() && bytes->second == "\xab\xab\xab", "no trailing metadata");
}

void CustomMetadata(Client& client) {
  Context unary;
  Context duplex;
  for (Context* context : {&unary, &duplex}) {
    context->AddMetadata(kInitial, "test_initial_metadata_value");
    context->AddMetadata(kTrailing, "\xab\xab\xab");
  }
  LargeUnary(*client.stub, unary);
  CheckEcho(unary);
  auto stream = client.stub->FullDuplexCall(&duplex);
  Check(stream->Write(Output({kLargeResponse}, kLargeRequest)), "the stream broke");
  wire::StreamingOutputCallResponse response;
  Check(stream->Read(&response), "no answer");
  CheckBody(response.payload(), kLargeResponse);
  stream->WritesDone();
  CheckOK(stream->Finish());
  CheckEcho(duplex);
}

void CheckUnknown(const grpc::Status& status, const std::string& message) {
  CheckStatus(status, grpc::StatusCode::UNKNOWN);
  Check(status.error_message() == message, "the message is \"" + status.error_message() + "\"");
}

void StatusCodeAndMessage(Client& client) {
  const std::string message = "test status message";
  wire::SimpleRequest request;
  request.mutable_response_status()->set_code(grpc::StatusCode::UNKNOWN);
  request.mutable_response_status()->set_message(message);
  Context unary;
  wire::SimpleResponse answer;
  CheckUnknown(client.stub->UnaryCall(&unary, request, &answer), message);
  Context duplex;
  auto stream = client.stub->FullDuplexCall(&duplex);
  wire::StreamingOutputCallRequest output;
  *output.mutable_response_status() = request.response_status();
  Check(stream->Write(output), "the stream broke");
  stream->WritesDone();
  wire::StreamingOutputCallResponse response;
  Check(!stream->Read(&response), "a message with a status that is not OK");
  CheckUnknown(stream->Finish(), message);
}

void SpecialStatusMessage(Client& client) {
  const std::string message =
      "\t\ntest with whitespace\r\nand Unicode BMP \xE2\x98\xBA and non-BMP \xF0\x9F\x98\x88\t\n";
  wire::SimpleRequest request;
  request.mutable_response_status()->set_code(grpc::StatusCode::UNKNOWN);
  request.mutable_response_status()->set_message(message);
  Context context;
  wire::SimpleResponse response;
  CheckUnknown(client.stub->UnaryCall(&context, request, &response), message);
}

void UnimplementedMethod(Client& client) {
  Context context;
  wire::Empty response;
  CheckStatus(client.stub->UnimplementedCall(&context, wire::Empty(), &response), grpc::StatusCode::UNIMPLEMENTED);
}

void UnimplementedService(Client& client) {
  Context context;
  wire::Empty response;
  auto stub = wire::UnimplementedService::NewStub(client.channel);
  CheckStatus(stub->UnimplementedCall(&context, wire::Empty(), &response), grpc::StatusCode::UNIMPLEMENTED);
}

void CancelAfterBegin(Client& client) {
  Context context;
  wire::StreamingInputCallResponse response;
  auto writer = client.stub->StreamingInputCall(&context, &response);
  context.TryCancel();
  CheckStatus(writer->Finish(), grpc::StatusCode::CANCELLED);
}

void CancelAfterFirstResponse(Client& client) {
  Context context;
  auto stream = client.stub->FullDuplexCall(&context);
  Check(stream->Write(Output({31415}, 27182)), "the stream broke");
  wire::StreamingOutputCallResponse response;
  Check(stream->Read(&response), "no answer");
  CheckBody(response.payload(), 31415);
  context.TryCancel();
  CheckStatus(stream->Finish(), grpc::StatusCode::CANCELLED);
}

void TimeoutOnSleepingServer(Client& client) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(1));
  auto stream = client.stub->FullDuplexCall(&context);
  wire::StreamingOutputCallRequest request = Output({31415}, 27182);
  request.mutable_response_parameters(0)->set_interval_us(10'000'000);
  stream->Write(request);
  CheckStatus(stream->Finish(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

void SlowConsumer(Client& client) {
  wire::StreamingOutputCallRequest request;
  for (int index = 0; index < 2000; ++index) request.add_response_parameters()->set_size(1030);
  Context context;
  auto reader = client.stub->StreamingOutputCall(&context, request);
  wire::StreamingOutputCallResponse response;
  int count = 0;
  while (reader->Read(&response)) {
    CheckBody(response.payload(), 1030);
    // The case reads one in 20 ms throughout; its first quarter second fills every window.
    if (++count <= 50) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  CheckOK(reader->Finish());
  Check(count == 2000, std::to_string(count) + " messages; 2000 asked for");
}

void ConcurrentLargeUnary(Client& client) {
  constexpr int kCalls = 200;
  struct Call {
    Context context;
    wire::SimpleResponse response;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<wire::SimpleResponse>> reader;
  };
  grpc::CompletionQueue queue;
  std::vector<Call> calls(kCalls);
  const wire::SimpleRequest request = LargeRequest();
  for (Call& call : calls) {
    call.reader = client.stub->AsyncUnaryCall(&call.context, request, &queue);
    call.reader->Finish(&call.response, &call.status, &call);
  }
  for (int done = 0; done < kCalls; ++done) {
    void* tag = nullptr;
    bool ok = false;
    Check(queue.Next(&tag, &ok), "the queue ended");
  }
  for (const Call& call : calls) {
    CheckOK(call.status);
    CheckBody(call.response.payload(), kLargeResponse);
  }
}

void RPCSoak(Client& client) {
  for (int iteration = 0; iteration < 100; ++iteration) {
    Context context;
    LargeUnary(*client.stub, context);
  }
}

void ChannelSoak(Client& client) {
  for (int iteration = 0; iteration < 20; ++iteration) {
    Client other(client.address);
    Context context;
    LargeUnary(*other.stub, context);
  }
}

const std::vector<std::pair<const char*, std::function<void(Client&)>>> kCases = {
    {"empty_unary", EmptyUnary},
    {"cacheable_unary", CacheableUnary},
    {"large_unary", LargeUnaryCase},
    {"client_compressed_unary", ClientCompressedUnary},
    {"server_compressed_unary", ServerCompressedUnary},
    {"client_streaming", ClientStreaming},
    {"client_compressed_streaming", ClientCompressedStreaming},
    {"server_streaming", ServerStreaming},
    {"server_compressed_streaming", ServerCompressedStreaming},
    {"ping_pong", PingPong},
    {"empty_stream", EmptyStream},
    {"half_duplex", HalfDuplex},
    {"custom_metadata", CustomMetadata},
    {"status_code_and_message", StatusCodeAndMessage},
    {"special_status_message", SpecialStatusMessage},
    {"unimplemented_method", UnimplementedMethod},
    {"unimplemented_service", UnimplementedService},
    {"cancel_after_begin", CancelAfterBegin},
    {"cancel_after_first_response", CancelAfterFirstResponse},
    {"timeout_on_sleeping_server", TimeoutOnSleepingServer},
    {"slow_consumer", SlowConsumer},
    {"concurrent_large_unary", ConcurrentLargeUnary},
    {"rpc_soak", RPCSoak},
    {"channel_soak", ChannelSoak},
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: interop_cpp HOST:PORT\n");
    return 2;
  }
  Client client(argv[1]);
  for (const auto& [name, run] : kCases) {
    try {
      run(client);
      std::printf("ok %s\n", name);
    } catch (const std::exception& failure) {
      std::printf("failed %s: %s\n", name, failure.what());
    }
    std::fflush(stdout);
  }
  return 0;
}
