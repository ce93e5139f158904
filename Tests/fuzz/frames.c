// libFuzzer's target for the frame path: a peer's bytes through the session, calls answered in every way there is. The
// input is what the peer sends; its last byte also decides where reads cut it.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "CNghttp2.h"

static const cng_limits limits = {
    .max_concurrent_streams = 16,
    .stream_window = 1 << 16,
    .connection_window = 1 << 17,
    .max_header_bytes = 16 << 10,
    .max_settings = 32,
    .max_outbound_ack = 100,
    .max_continuations = 8,
    .reset_burst = 100,
    .reset_rate = 1,
};

static const cng_bytes text = {(const uint8_t *)"why", 3};
static const cng_header field = {{(const uint8_t *)"x-field", 7}, {(const uint8_t *)"value", 5}};
static const uint8_t message[5005] = {0, 0, 0, 0x13, 0x88};

// Pulled streams are at most so many bytes, in all of a session: enough to run into its windows.
static size_t pullable;

static size_t pull(void *context, uint8_t *buffer, size_t capacity, bool *ended) {
  cng_stream *stream = context;
  if (pullable == 0) {
    *ended = stream->id % 3 == 0;
    if (*ended) cng_stream_set_status(stream, 14, text, text);
    return 0;
  }
  size_t length = capacity < pullable ? capacity : pullable;
  memset(buffer, 0, length);
  pullable -= length;
  return length;
}

static void requested(cng_session *session, cng_stream *stream) {
  const cng_header *headers = cng_session_headers(session);
  size_t seen = 0;
  for (size_t index = 0; index < stream->request.header_count; index++) {
    const cng_header *header = &headers[stream->request.first_header + index];
    for (size_t at = 0; at < header->name.length; at++) seen += header->name.start[at];
    for (size_t at = 0; at < header->value.length; at++) seen += header->value.start[at];
  }
  for (size_t at = 0; at < stream->request.path.length; at++) seen += stream->request.path.start[at];
  stream->slot = (uint32_t)(seen & 0xFFFF);
  if (stream->gone) return;
  if (stream->request.content_type != CNG_CONTENT_TYPE_GRPC || !stream->request.is_post) {
    cng_stream_reject(session, stream, "415", text);
    return;
  }
  switch (stream->id / 2 % 8) {
    case 0:
      cng_stream_start_pull(session, stream, pull, stream);
      break;
    case 1:
      cng_stream_finish(session, stream, 5, text, text);
      break;
    case 2:
      cng_stream_set_initial(stream, &field, 1);
      cng_stream_start(session, stream);
      break;
    case 3:
      cng_stream_reset(session, stream, 8);
      break;
    default:
      break;
  }
}

static void half_closed(cng_session *session, cng_stream *stream) {
  if (stream->gone || stream->id / 2 % 8 < 2) return;
  cng_stream_set_trailing(stream, &field, 1);
  cng_stream_write(session, stream, message, sizeof message);
  cng_stream_notify_drained(stream, 100);
  if (stream->id / 2 % 8 == 4) return;  // it waits for the goodbye
  cng_stream_finish(session, stream, 0, (cng_bytes){0}, (cng_bytes){0});
}

// The streams that are open: the slots are the caller's own, and here is none.
enum { most_streams = 64 };
static cng_stream *open[most_streams];

static void walk(cng_session *session) {
  size_t count = 0;
  const cng_event *events = cng_session_events(session, &count);
  for (size_t index = 0; index < count; index++) {
    cng_stream *stream = events[index].stream;
    switch (events[index].kind) {
      case CNG_EVENT_REQUEST:
        for (size_t place = 0; place < most_streams; place++) {
          if (open[place] != NULL) continue;
          open[place] = stream;
          break;
        }
        requested(session, stream);
        break;
      case CNG_EVENT_DATA:
        cng_stream_consume(session, stream, events[index].bytes.length);
        break;
      case CNG_EVENT_HALF_CLOSED:
        half_closed(session, stream);
        break;
      case CNG_EVENT_CLOSED:
        if (!stream->gone) abort();
        for (size_t place = 0; place < most_streams; place++) {
          if (open[place] == stream) open[place] = NULL;
        }
        break;
      default:
        break;
    }
    // What an answer records comes after.
    events = cng_session_events(session, &count);
  }
  cng_session_clear_events(session);
}

static bool drain(cng_session *session) {
  uint8_t buffer[1000];
  for (;;) {
    ssize_t length = cng_session_drain(session, buffer, sizeof buffer);
    walk(session);
    if (length <= 0) return length == 0;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
  static const size_t reads[] = {SIZE_MAX, 1, 7, 100, 1000};
  if (length == 0) return 0;
  size_t read = reads[bytes[length - 1] % 5];
  memset(open, 0, sizeof open);
  pullable = 200000;
  cng_session *session = cng_session_create(&limits);
  if (session == NULL) return 0;
  bool goes_on = drain(session);
  for (size_t start = 0; start < length && goes_on; start += read) {
    size_t part = length - start < read ? length - start : read;
    // A copy of its own: whoever looks beyond it is seen.
    uint8_t *copy = malloc(part);
    memcpy(copy, bytes + start, part);
    goes_on = cng_session_feed(session, copy, part) == 0;
    walk(session);
    free(copy);
    cng_session_resume_all(session);
    goes_on = drain(session) && goes_on && cng_session_is_alive(session);
    if (length - start < read) break;
  }
  if (goes_on) {
    cng_session_announce_shutdown(session);
    drain(session);
    for (size_t place = 0; place < most_streams; place++) {
      if (open[place] != NULL && !open[place]->gone) cng_stream_cut(session, open[place], 14, text, text);
    }
    cng_session_dismiss_rejected(session);
    drain(session);
    cng_session_goaway(session, 0);
    drain(session);
  }
  cng_session_destroy(session);
  return 0;
}
