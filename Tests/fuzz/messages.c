// libFuzzer's target for message decoding: every request's decoder on the same bytes. What is taken is written again, to
// no more room than it asks for, and read again.
#include <protobuf-c/protobuf-c.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "CProto.h"

static const ProtobufCMessageDescriptor *const requests[] = {
    &dspy_orchestrator__v1__submit_job_request__descriptor,    &dspy_orchestrator__v1__submit_jobs_request__descriptor,
    &dspy_orchestrator__v1__get_status_request__descriptor,    &dspy_orchestrator__v1__list_jobs_request__descriptor,
    &dspy_orchestrator__v1__cancel_job_request__descriptor,    &dspy_orchestrator__v1__stream_events_request__descriptor,
    &dspy_orchestrator__v1__stream_logs_request__descriptor,   &dspy_orchestrator__v1__get_metrics_request__descriptor,
    &grpc__health__v1__health_check_request__descriptor,       &grpc__reflection__v1__server_reflection_request__descriptor,
    &google__rpc__status__descriptor,
};

static void decode(const ProtobufCMessageDescriptor *type, cproto_arena *arena, const uint8_t *bytes, size_t length) {
  cproto_arena_reset(arena);
  const ProtobufCMessage *message = protobuf_c_message_unpack(type, cproto_arena_allocator(arena), length, bytes);
  if (message == NULL) return;
  size_t size = protobuf_c_message_get_packed_size(message);
  uint8_t *packed = malloc(size);
  if (protobuf_c_message_pack(message, packed) != size) abort();
  cproto_arena_reset(arena);
  // Not all of it is taken again: of field 0 in more bytes than it needs protobuf-c makes one that it refuses.
  protobuf_c_message_unpack(type, cproto_arena_allocator(arena), size, packed);
  free(packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
  cproto_arena *arena = cproto_arena_create(16 << 20);
  if (arena == NULL) return 0;
  for (size_t index = 0; index < sizeof requests / sizeof *requests; index++) {
    decode(requests[index], arena, bytes, length);
  }
  cproto_arena_destroy(arena);
  return 0;
}
