// Reads event streams as fast as they come, with next to nothing per message: libnghttp2, one thread, and a parser that
// looks only at each event's length and sequence. The same client reads every server, so the ratios are theirs.
//
// usage: client replay PORT PID CONNECTIONS CALLS EVENTS SECONDS
//          each call reads EVENTS events after the cursor 0 and is replaced by another, for SECONDS
//        client fanout PORT PID CONNECTIONS CALLS JOBS BATCH INFLIGHT BEFORE
//          each call follows all events while SubmitJobs is called with BATCH jobs, INFLIGHT calls at once, until
//          JOBS jobs are submitted and every call has had every event; BEFORE is the server's newest sequence
//
// Prints one JSON object. A sequence that is missing, repeated or out of order is counted in "gaps", and one is too
// many. PID is the server's, for its CPU time.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "client: %s\n", what.c_str());
  std::exit(1);
}

double CPUSeconds(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  const size_t end = text.rfind(')');
  if (end == std::string::npos) Fail("process " + pid + " is not there");
  unsigned long long user = 0, system = 0;
  std::sscanf(text.c_str() + end + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system);
  return double(user + system) / double(sysconf(_SC_CLK_TCK));
}

// Protobuf and gRPC by hand: the requests are three fields.
void Varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(char(value | 0x80));
  out.push_back(char(value));
}

void Field(std::string& out, int number, const std::string& value) {
  Varint(out, uint64_t(number) << 3 | 2);
  Varint(out, value.size());
  out += value;
}

std::string Framed(const std::string& message) {
  std::string out(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(char(message.size() >> shift));
  return out + message;
}

std::string Submission(uint64_t first, uint64_t count) {
  std::string message;
  for (uint64_t index = 0; index < count; ++index) {
    std::string job;
    char id[32];
    std::snprintf(id, sizeof id, "fanout-%011llu", static_cast<unsigned long long>(first + index));
    Field(job, 1, id);
    Varint(job, 2 << 3);
    Varint(job, 2);  // cpu_long
    Field(job, 3, R"({"command":["true"]})");
    Field(message, 1, job);
  }
  return Framed(message);
}

// One open call: where its parser stands.
struct Call {
  bool events = true;
  std::string body;
  size_t sent = 0;
  uint8_t prefix[5];
  unsigned prefix_bytes = 0;
  uint32_t left = 0;      // of the message
  bool at_start = false;  // of the message
  bool in_sequence = false;
  unsigned shift = 0;
  uint64_t sequence = 0;
  uint64_t last = 0;
  bool cancelled = false;
};

struct Totals {
  uint64_t messages = 0, bytes = 0, gaps = 0, completed = 0, failed = 0, submitted = 0;
};

struct Run {
  std::string mode, port, pid;
  int connections = 0, calls = 0;
  uint64_t events = 0;  // of one replay
  Totals totals;
};

Run run;

class Connection {
 public:
  Connection() {
    fd_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(uint16_t(std::atoi(run.port.c_str())));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) Fail("cannot connect");
    fcntl(fd_, F_SETFL, O_NONBLOCK);
    const int one = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    nghttp2_session_callbacks* callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, OnData);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, OnHeader);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, OnClose);
    nghttp2_session_client_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 4 << 20},
                                               {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, 2);
    nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, 64 << 20);
  }

  int fd() const { return fd_; }
  bool wants_write() const { return pending_ < out_.size() || nghttp2_session_want_write(session_); }

  void Open(const std::string& method, std::string body, bool events) {
    auto call = std::make_unique<Call>();
    call->events = events;
    call->body = std::move(body);
    const std::string path = "/dspy_orchestrator.v1.Orchestrator/" + method;
    auto header = [](const char* name, const std::string& value) {
      return nghttp2_nv{reinterpret_cast<uint8_t*>(const_cast<char*>(name)),
                        reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), std::strlen(name), value.size(),
                        NGHTTP2_NV_FLAG_NONE};
    };
    const std::string post = "POST", http = "http", authority = "127.0.0.1:" + run.port, trailers = "trailers",
                      type = "application/grpc";
    const nghttp2_nv headers[] = {header(":method", post),     header(":scheme", http),  header(":path", path),
                                  header(":authority", authority), header("te", trailers), header("content-type", type)};
    nghttp2_data_provider provider{};
    provider.source.ptr = call.get();
    provider.read_callback = ReadBody;
    if (nghttp2_submit_request(session_, nullptr, headers, 6, &provider, call.get()) < 0) Fail("cannot open a call");
    calls_.push_back(std::move(call));
  }

  void Receive() {
    static uint8_t buffer[256 << 10];
    for (int reads = 0; reads < 8; ++reads) {
      const ssize_t count = read(fd_, buffer, sizeof buffer);
      if (count == 0) Fail("the server closed the connection");
      if (count < 0) {
        if (errno == EAGAIN) break;
        Fail("read failed");
      }
      if (nghttp2_session_mem_recv(session_, buffer, size_t(count)) < 0) Fail("broken HTTP/2");
      if (size_t(count) < sizeof buffer) break;
    }
  }

  void Send() {
    for (;;) {
      if (pending_ == out_.size()) {
        const uint8_t* data;
        const ssize_t count = nghttp2_session_mem_send(session_, &data);
        if (count <= 0) return;
        out_.assign(reinterpret_cast<const char*>(data), size_t(count));
        pending_ = 0;
      }
      const ssize_t count = write(fd_, out_.data() + pending_, out_.size() - pending_);
      if (count < 0) return;
      pending_ += size_t(count);
    }
  }

  // The smallest sequence that all event calls of this connection have had.
  uint64_t Behind() const {
    uint64_t least = UINT64_MAX;
    for (const auto& call : calls_)
      if (call->events) least = std::min(least, call->last);
    return least;
  }

 private:
  static ssize_t ReadBody(nghttp2_session*, int32_t, uint8_t* buffer, size_t length, uint32_t* flags,
                          nghttp2_data_source* source, void*) {
    Call& call = *static_cast<Call*>(source->ptr);
    const size_t count = std::min(length, call.body.size() - call.sent);
    std::memcpy(buffer, call.body.data() + call.sent, count);
    call.sent += count;
    if (call.sent == call.body.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return ssize_t(count);
  }

  static int OnHeader(nghttp2_session*, const nghttp2_frame*, const uint8_t* name, size_t name_length,
                      const uint8_t* value, size_t value_length, uint8_t, void*) {
    if (name_length == 11 && std::memcmp(name, "grpc-status", 11) == 0 && !(value_length == 1 && value[0] == '0'))
      ++run.totals.failed;
    return 0;
  }

  static int OnData(nghttp2_session* session, uint8_t, int32_t stream, const uint8_t* data, size_t length, void*) {
    Call* call = static_cast<Call*>(nghttp2_session_get_stream_user_data(session, stream));
    if (call == nullptr || !call->events || call->cancelled) return 0;
    run.totals.bytes += length;
    const uint8_t* const end = data + length;
    while (data < end) {
      if (call->left == 0) {
        call->prefix[call->prefix_bytes++] = *data++;
        if (call->prefix_bytes < 5) continue;
        const uint8_t* p = call->prefix;
        call->left = uint32_t(p[1]) << 24 | uint32_t(p[2]) << 16 | uint32_t(p[3]) << 8 | p[4];
        call->prefix_bytes = 0;
        call->at_start = true;
        call->sequence = 0;
        call->shift = 0;
        continue;
      }
      if (call->at_start) {
        if (*data != 0x08) Fail("an event does not start with its sequence");
        call->at_start = false;
        call->in_sequence = true;
        ++data;
        --call->left;
        continue;
      }
      if (call->in_sequence) {
        call->sequence |= uint64_t(*data & 0x7f) << call->shift;
        call->shift += 7;
        call->in_sequence = (*data & 0x80) != 0;
        ++data;
        --call->left;
        continue;
      }
      const size_t skipped = std::min<size_t>(call->left, size_t(end - data));
      data += skipped;
      call->left -= uint32_t(skipped);
      if (call->left > 0) break;
      if (call->sequence != call->last + 1) ++run.totals.gaps;
      call->last = call->sequence;
      ++run.totals.messages;
      if (run.events != 0 && call->last == run.events) {
        // A server whose streams end by themselves ends this one now; one that follows live events is told to.
        call->cancelled = true;
        ++run.totals.completed;
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
        break;
      }
    }
    return 0;
  }

  static int OnClose(nghttp2_session* session, int32_t stream, uint32_t, void* user) {
    Connection& connection = *static_cast<Connection*>(user);
    Call* call = static_cast<Call*>(nghttp2_session_get_stream_user_data(session, stream));
    if (call == nullptr) return 0;
    const bool events = call->events, whole = call->cancelled;
    auto& calls = connection.calls_;
    calls.erase(std::find_if(calls.begin(), calls.end(), [&](const auto& c) { return c.get() == call; }));
    if (!events) {
      ++run.totals.submitted;
    } else if (run.events == 0 || !whole) {
      ++run.totals.failed;
      if (run.totals.failed > 100) Fail("the calls end early");
    }
    if (events && run.events != 0) connection.Open("StreamEvents", Framed(""), true);
    return 0;
  }

  int fd_;
  nghttp2_session* session_ = nullptr;
  std::vector<std::unique_ptr<Call>> calls_;
  std::string out_;
  size_t pending_ = 0;
};

void Turn(std::vector<std::unique_ptr<Connection>>& connections, std::vector<pollfd>& polled) {
  for (size_t index = 0; index < connections.size(); ++index) {
    connections[index]->Send();
    polled[index].fd = connections[index]->fd();
    polled[index].events = short(POLLIN | (connections[index]->wants_write() ? POLLOUT : 0));
  }
  poll(polled.data(), polled.size(), 20);
  for (size_t index = 0; index < connections.size(); ++index)
    if (polled[index].revents & (POLLIN | POLLERR | POLLHUP)) connections[index]->Receive();
}

void Report(const Totals& before, double seconds, double cpu) {
  const Totals& now = run.totals;
  const uint64_t messages = now.messages - before.messages;
  std::printf(
      "{\"messages\": %llu, \"bytes\": %llu, \"seconds\": %.6f, \"rate\": %.1f, \"cpu_micros\": %.4f, "
      "\"gaps\": %llu, \"failed\": %llu, \"completed\": %llu}\n",
      (unsigned long long)messages, (unsigned long long)(now.bytes - before.bytes), seconds,
      double(messages) / seconds, cpu / double(std::max<uint64_t>(messages, 1)) * 1e6, (unsigned long long)now.gaps,
      (unsigned long long)now.failed, (unsigned long long)now.completed);
}

double Since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

int main(int argc, char** argv) {
  if (argc < 8) Fail("usage: client replay|fanout PORT PID CONNECTIONS CALLS ... (see the source's head)");
  run.mode = argv[1];
  run.port = argv[2];
  run.pid = argv[3];
  run.connections = std::atoi(argv[4]);
  run.calls = std::atoi(argv[5]);
  std::vector<std::unique_ptr<Connection>> connections;
  for (int index = 0; index < run.connections; ++index) connections.push_back(std::make_unique<Connection>());
  if (run.mode == "replay") {
    run.events = std::strtoull(argv[6], nullptr, 10);
    const double seconds = std::atof(argv[7]);
    std::vector<pollfd> polled(connections.size());
    for (auto& connection : connections)
      for (int call = 0; call < run.calls; ++call) connection->Open("StreamEvents", Framed(""), true);
    const auto warm = Clock::now();
    while (Since(warm) < seconds / 5) Turn(connections, polled);
    const Totals before = run.totals;
    const double cpu = CPUSeconds(run.pid);
    const auto start = Clock::now();
    while (Since(start) < seconds) Turn(connections, polled);
    Report(before, Since(start), CPUSeconds(run.pid) - cpu);
  } else if (run.mode == "fanout" && argc >= 10) {
    const uint64_t jobs = std::strtoull(argv[6], nullptr, 10), batch = std::strtoull(argv[7], nullptr, 10);
    const uint64_t inflight = std::strtoull(argv[8], nullptr, 10);
    const uint64_t history = std::strtoull(argv[9], nullptr, 10) + 1;
    connections.push_back(std::make_unique<Connection>());
    std::vector<pollfd> polled(connections.size());
    for (int index = 0; index < run.connections; ++index)
      for (int call = 0; call < run.calls; ++call) connections[size_t(index)]->Open("StreamEvents", Framed(""), true);
    Connection& submitter = *connections.back();
    auto behind = [&] {
      uint64_t least = UINT64_MAX;
      for (int index = 0; index < run.connections; ++index)
        least = std::min(least, connections[size_t(index)]->Behind());
      return least;
    };
    // One job first: once every call has had its event, all of them follow live.
    submitter.Open("SubmitJobs", Submission(0, 1), false);
    const auto waiting = Clock::now();
    while (run.totals.submitted < 1 || behind() < history) {
      Turn(connections, polled);
      if (Since(waiting) > 20) Fail("the subscribers did not see the first event");
    }
    const Totals before = run.totals;
    const double cpu = CPUSeconds(run.pid);
    const auto start = Clock::now();
    uint64_t asked = 0, calls = 0;
    while (behind() < history + jobs) {
      while (asked < jobs && calls - (run.totals.submitted - before.submitted) < inflight) {
        const uint64_t count = std::min(batch, jobs - asked);
        submitter.Open("SubmitJobs", Submission(1 + asked, count), false);
        asked += count;
        ++calls;
      }
      Turn(connections, polled);
      if (Since(start) > 60) Fail("after 60 s the slowest subscriber is at " + std::to_string(behind()));
    }
    Report(before, Since(start), CPUSeconds(run.pid) - cpu);
  } else {
    Fail("unknown mode " + run.mode);
  }
  return 0;
}
