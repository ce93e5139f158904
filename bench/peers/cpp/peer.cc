// gRPC C++ with its asynchronous API: one completion queue, one thread, as a server on one core is best served.
//
// usage: peer PORT [live]
// GetStatus answers one fixed job. StreamEvents answers 10,000 events and ends; with "live" it starts with none and
// follows those that SubmitJobs makes, one for each job, to every subscriber.

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "dspy_orchestrator/v1/orchestrator.grpc.pb.h"

namespace wire = dspy_orchestrator::v1;
using Service = wire::Orchestrator::AsyncService;

namespace {

constexpr int kEvents = 10'000;
constexpr int kPosted = 128;

void FillMoment(google::protobuf::Timestamp* moment) {
  moment->set_seconds(1'790'000'000);
  moment->set_nanos(123'456'789);
}

void FillJob(wire::Job* job) {
  job->set_job_id("bench-1");
  job->set_job_class(wire::JOB_CLASS_CPU_SHORT);
  job->set_state(wire::JOB_STATE_SUCCEEDED);
  job->set_attempt(1);
  FillMoment(job->mutable_submitted_at());
  FillMoment(job->mutable_started_at());
  FillMoment(job->mutable_finished_at());
  job->set_payload(R"({"command":["true"]})");
  job->set_last_sequence(3);
}

wire::Event MakeEvent(uint64_t sequence) {
  wire::Event event;
  event.set_sequence(sequence);
  event.set_type("task_submitted");
  event.set_job_id("0199c2a4-5f3e-7c1d-9b7a-3d2f1e0c4b5a");
  FillMoment(event.mutable_time());
  event.set_state(wire::JOB_STATE_QUEUED);
  event.set_data(R"({"task_id":"0199c2a4-5f3e-7c1d"})");
  event.set_source("rpc");
  return event;
}

class StreamCall;

struct Server {
  Service service;
  std::unique_ptr<grpc::ServerCompletionQueue> queue;
  bool live = false;
  bool hint = false;
  std::vector<wire::Event> log;
  // Subscribers that have had all there is.
  std::vector<StreamCall*> waiting;
};

// A step of one call; the completion queue's tag.
class Call {
 public:
  virtual ~Call() = default;
  virtual void Proceed(bool ok) = 0;
};

class StatusCall final : public Call {
 public:
  explicit StatusCall(Server& server) : server_(server), responder_(&context_) {
    server_.service.RequestGetStatus(&context_, &request_, &responder_, server_.queue.get(), server_.queue.get(), this);
  }

  void Proceed(bool ok) override {
    if (finished_ || !ok) {
      delete this;
      return;
    }
    new StatusCall(server_);
    finished_ = true;
    wire::GetStatusResponse response;
    FillJob(response.mutable_job());
    responder_.Finish(response, grpc::Status::OK, this);
  }

 private:
  Server& server_;
  grpc::ServerContext context_;
  wire::GetStatusRequest request_;
  grpc::ServerAsyncResponseWriter<wire::GetStatusResponse> responder_;
  bool finished_ = false;
};

class StreamCall final : public Call {
 public:
  explicit StreamCall(Server& server) : server_(server), writer_(&context_) {
    server_.service.RequestStreamEvents(&context_, &request_, &writer_, server_.queue.get(), server_.queue.get(), this);
  }

  void Proceed(bool ok) override {
    if (state_ == State::kFinished || (state_ == State::kRequested && !ok)) {
      delete this;
      return;
    }
    if (state_ == State::kRequested) {
      new StreamCall(server_);
      next_ = request_.after_sequence();
      state_ = State::kStreaming;
    }
    if (!ok) {
      state_ = State::kFinished;
      writer_.Finish(grpc::Status::CANCELLED, this);
      return;
    }
    Advance();
  }

  void Advance() {
    if (next_ < server_.log.size()) {
      const wire::Event& event = server_.log[next_++];
      // With `hint`: more follows at once, so let the transport gather messages into fewer packets. Not with the first,
      // whose headers would wait for ever.
      grpc::WriteOptions options;
      if (server_.hint && started_ && next_ < server_.log.size()) options.set_buffer_hint();
      started_ = true;
      writer_.Write(event, options, this);
    } else if (server_.live) {
      server_.waiting.push_back(this);
    } else {
      state_ = State::kFinished;
      writer_.Finish(grpc::Status::OK, this);
    }
  }

 private:
  enum class State { kRequested, kStreaming, kFinished };
  Server& server_;
  grpc::ServerContext context_;
  wire::StreamEventsRequest request_;
  grpc::ServerAsyncWriter<wire::Event> writer_;
  uint64_t next_ = 0;
  bool started_ = false;
  State state_ = State::kRequested;
};

class SubmitCall final : public Call {
 public:
  explicit SubmitCall(Server& server) : server_(server), responder_(&context_) {
    server_.service.RequestSubmitJobs(&context_, &request_, &responder_, server_.queue.get(), server_.queue.get(),
                                      this);
  }

  void Proceed(bool ok) override {
    if (finished_ || !ok) {
      delete this;
      return;
    }
    new SubmitCall(server_);
    finished_ = true;
    wire::SubmitJobsResponse response;
    for (int index = 0; index < request_.jobs_size(); ++index) {
      FillJob(response.add_results()->mutable_job());
      server_.log.push_back(MakeEvent(server_.log.size() + 1));
    }
    responder_.Finish(response, grpc::Status::OK, this);
    std::vector<StreamCall*> waiting;
    waiting.swap(server_.waiting);
    for (StreamCall* call : waiting) call->Advance();
  }

 private:
  Server& server_;
  grpc::ServerContext context_;
  wire::SubmitJobsRequest request_;
  grpc::ServerAsyncResponseWriter<wire::SubmitJobsResponse> responder_;
  bool finished_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: peer PORT [live] [hint]\n");
    return 2;
  }
  Server server;
  for (int at = 2; at < argc; ++at) {
    server.live = server.live || std::strcmp(argv[at], "live") == 0;
    server.hint = server.hint || std::strcmp(argv[at], "hint") == 0;
  }
  if (!server.live) {
    for (int sequence = 1; sequence <= kEvents; ++sequence) server.log.push_back(MakeEvent(sequence));
  }
  // Events are referred to while they are written: the log must not move.
  server.log.reserve(4'000'000);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(std::string("127.0.0.1:") + argv[1], grpc::InsecureServerCredentials());
  builder.RegisterService(&server.service);
  server.queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> running = builder.BuildAndStart();
  if (!running) return 1;
  for (int posted = 0; posted < kPosted; ++posted) {
    new StatusCall(server);
    new StreamCall(server);
  }
  for (int posted = 0; posted < 8; ++posted) new SubmitCall(server);
  void* tag = nullptr;
  bool ok = false;
  while (server.queue->Next(&tag, &ok)) static_cast<Call*>(tag)->Proceed(ok);
  return 0;
}
