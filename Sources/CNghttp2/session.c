#include "CNghttp2.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pool.h"
#include "spares.h"

// Debian keeps the version at 1.52 while back-porting these two, so look for the symbols, not for a version.
extern void nghttp2_option_set_stream_reset_rate_limit(nghttp2_option *, uint64_t, uint64_t) __attribute__((weak));
extern void nghttp2_option_set_max_continuations(nghttp2_option *, size_t) __attribute__((weak));

enum {
  frame_header = 9,       // bytes of one (RFC 9113 §4.1)
  kept_output = 4096,     // bytes of output buffer that a stream keeps for its next life
  kept_streams = 1024,    // streams a thread keeps for reuse
  kept_events = 4096,     // entries of the record kept from one feed to the next
  rejected_body = 65536,  // bytes of a rejected request's body that are let come before the peer is told to stop
};

// Header fields of the caller's own, and the bytes they point to, in one allocation.
typedef struct fields {
  size_t count;
  nghttp2_nv values[];
} fields;

// cng_stream as the caller sees it, and what only this file needs.
typedef struct stream {
  cng_stream public;
  struct stream *next;          // in the list of closed or of spare streams
  struct stream *open_next;     // in the list of open streams
  struct stream *open_previous;
  struct stream *pull_next;     // in the list of pulls that wait
  struct stream *pull_previous;
  uint8_t *output;
  size_t output_start, output_end, output_capacity;
  cng_pull pull;
  void *pull_context;
  uint8_t *status_text;         // grpc-message, then grpc-status-details-bin
  size_t message_length, details_length;
  fields *initial, *trailing;
  size_t drained_at;  // CNG_EVENT_DRAINED is wanted at so many bytes
  uint32_t header_bytes;
  uint32_t status;
  bool notify_drained;
  bool in_request;   // its first header block is being read
  bool started;      // response headers are submitted
  bool output_counts;  // its output is in unsent_output
  bool finished;     // no more output but what is in the buffer
  bool deferred;     // libnghttp2 asked for data and there was none
  bool waiting;      // in the list of pulls that wait
  bool pull_ended;
  bool cut;          // its trailers are submitted, whatever its data source still has
  bool half_closed;  // END_STREAM has come
  bool answered;     // END_STREAM is sent
  bool rejected;     // answered as what it is not, a request to a web server
  bool dismissed;    // the peer is told to send no more of it
  size_t discarded;  // bytes of the rejected request's body
} stream;

struct cng_session {
  nghttp2_session *session;
  cng_pool *pool;
  uint32_t max_header_bytes;
  uint32_t open_streams;

  cng_event *events;
  size_t event_count, event_capacity;
  cng_header *headers;      // of the requests in the record, and of the block that is arriving
  nghttp2_rcbuf **buffers;  // two for each header: its name and its value are libnghttp2's own, kept alive
  size_t header_count, header_capacity;
  size_t block_start;  // of the arriving block in headers
  bool block_open;     // it is not whole yet: it outlives the record
  stream *in_block;    // whose request that is: asking libnghttp2 for each field is a look-up in a table
  bool out_of_memory;

  stream *open;
  stream *closed;  // to be reused once the record is cleared
  stream *waiting_pulls;
  size_t waiting_count;

  double resets_left;       // a token bucket: streams that may yet end before their answer
  double resets_burst, resets_per_second;
  double resets_counted_at;
  bool abused;              // the bucket ran dry
  uint32_t max_concurrent_streams;
  uint64_t refused_streams;
  bool too_many_streams;    // one more than the limit that the peer has acknowledged
  bool leaving;             // a GOAWAY without blame is out
  bool terminated;
  uint32_t blame;           // of the last GOAWAY sent
  size_t unsent_output;     // bytes in the streams' buffers

  const uint8_t *unsent;  // rest of what libnghttp2 last gave to send
  size_t unsent_length;
};

#define NV(NAME, VALUE)                                                                                          \
  {(uint8_t *)(NAME), (uint8_t *)(VALUE), sizeof(NAME) - 1, sizeof(VALUE) - 1,                                    \
   NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE}

static const nghttp2_nv status_200 = NV(":status", "200");
static const nghttp2_nv content_type_grpc = NV("content-type", "application/grpc");
// An answer to an encoding we do not know must say which we do (gRPC compression.md); it costs one indexed byte.
static const nghttp2_nv accept_encodings = NV("grpc-accept-encoding", "gzip,identity");

static const char *const status_digits[17] = {"0", "1", "2",  "3",  "4",  "5",  "6",  "7", "8",
                                              "9", "10", "11", "12", "13", "14", "15", "16"};

// ---- the record

static bool grow_events(cng_session *session) {
  cng_spares *spares = cng_pool_spares(session->pool);
  if (session->events == NULL && spares->events != NULL) {
    session->events = spares->events;
    session->event_capacity = spares->event_capacity;
    spares->events = NULL;
    return true;
  }
  size_t capacity = session->event_capacity == 0 ? 64 : session->event_capacity * 2;
  cng_event *grown = realloc(session->events, capacity * sizeof *grown);
  if (grown == NULL) return false;
  session->events = grown;
  session->event_capacity = capacity;
  return true;
}

// Hands the memory on, unless the thread has as much in store or it has grown too large.
static void release_events(cng_session *session) {
  session->event_count = 0;
  if (session->events == NULL) return;
  cng_spares *spares = cng_pool_spares(session->pool);
  if (spares->events == NULL && session->event_capacity <= kept_events) {
    spares->events = session->events;
    spares->event_capacity = session->event_capacity;
  } else {
    free(session->events);
  }
  session->events = NULL;
  session->event_capacity = 0;
}

static cng_event *append_event(cng_session *session, cng_event_kind kind, stream *target) {
  if (session->event_count == session->event_capacity && !grow_events(session)) {
    session->out_of_memory = true;
    return NULL;
  }
  cng_event *event = &session->events[session->event_count++];
  *event = (cng_event){.kind = (uint8_t)kind, .stream = target == NULL ? NULL : &target->public};
  return event;
}

static bool grow_headers(cng_session *session) {
  cng_spares *spares = cng_pool_spares(session->pool);
  if (session->headers == NULL && spares->headers != NULL) {
    session->headers = spares->headers;
    session->buffers = spares->buffers;
    session->header_capacity = spares->header_capacity;
    spares->headers = NULL;
    spares->buffers = NULL;
    return true;
  }
  size_t capacity = session->header_capacity == 0 ? 128 : session->header_capacity * 2;
  cng_header *headers = realloc(session->headers, capacity * sizeof *headers);
  if (headers != NULL) session->headers = headers;
  nghttp2_rcbuf **buffers = realloc(session->buffers, capacity * 2 * sizeof *buffers);
  if (buffers != NULL) session->buffers = buffers;
  if (headers == NULL || buffers == NULL) return false;
  session->header_capacity = capacity;
  return true;
}

static bool append_header(cng_session *session, nghttp2_rcbuf *name, nghttp2_rcbuf *value) {
  if (session->header_count == session->header_capacity && !grow_headers(session)) {
    session->out_of_memory = true;
    return false;
  }
  nghttp2_vec name_text = nghttp2_rcbuf_get_buf(name), value_text = nghttp2_rcbuf_get_buf(value);
  nghttp2_rcbuf_incref(name);
  nghttp2_rcbuf_incref(value);
  session->buffers[session->header_count * 2] = name;
  session->buffers[session->header_count * 2 + 1] = value;
  session->headers[session->header_count++] =
      (cng_header){{name_text.base, name_text.len}, {value_text.base, value_text.len}};
  return true;
}

// Lets go of the headers, but of those of a block that is still arriving.
static void release_headers(cng_session *session, bool all) {
  size_t released = session->block_open && !all ? session->block_start : session->header_count;
  for (size_t index = 0; index < released * 2; index++) nghttp2_rcbuf_decref(session->buffers[index]);
  session->header_count -= released;
  session->block_start = 0;
  if (session->header_count > 0) {
    memmove(session->headers, session->headers + released, session->header_count * sizeof *session->headers);
    memmove(session->buffers, session->buffers + released * 2, session->header_count * 2 * sizeof *session->buffers);
    return;
  }
  if (session->headers == NULL && session->buffers == NULL) return;
  cng_spares *spares = cng_pool_spares(session->pool);
  // The capacity is 0 when one of the two could not be had.
  if (spares->headers == NULL && session->header_capacity > 0 && session->header_capacity <= kept_events) {
    spares->headers = session->headers;
    spares->buffers = session->buffers;
    spares->header_capacity = session->header_capacity;
  } else {
    free(session->headers);
    free(session->buffers);
  }
  session->headers = NULL;
  session->buffers = NULL;
  session->header_capacity = 0;
}

// ---- streams

static stream *stream_of(cng_session *session, int32_t id) {
  return nghttp2_session_get_stream_user_data(session->session, id);
}

static stream *stream_create(cng_session *session, int32_t id) {
  cng_spares *spares = cng_pool_spares(session->pool);
  stream *made = spares->streams;
  uint8_t *output = NULL;
  size_t capacity = 0;
  if (made != NULL) {
    spares->streams = made->next;
    spares->stream_count--;
    output = made->output;
    capacity = made->output_capacity;
  } else {
    made = malloc(sizeof *made);
    if (made == NULL) return NULL;
  }
  memset(made, 0, sizeof *made);
  made->output = output;
  made->output_capacity = capacity;
  made->public.id = id;
  made->public.slot = UINT32_MAX;
  made->in_request = true;
  return made;
}

static void stream_free(stream *stream) {
  free(stream->output);
  free(stream->status_text);
  free(stream->initial);
  free(stream->trailing);
  free(stream);
}

static void free_spares(cng_spares *spares) {
  free(spares->events);
  free(spares->headers);
  free(spares->buffers);
  while (spares->streams != NULL) {
    stream *next = spares->streams->next;
    stream_free(spares->streams);
    spares->streams = next;
  }
}

static void list_remove(cng_session *session, stream *stream) {
  if (!stream->waiting) return;
  if (stream->pull_previous != NULL) {
    stream->pull_previous->pull_next = stream->pull_next;
  } else {
    session->waiting_pulls = stream->pull_next;
  }
  if (stream->pull_next != NULL) stream->pull_next->pull_previous = stream->pull_previous;
  stream->pull_next = stream->pull_previous = NULL;
  stream->waiting = false;
  session->waiting_count--;
}

static void list_add(cng_session *session, stream *stream) {
  if (stream->waiting) return;
  stream->pull_previous = NULL;
  stream->pull_next = session->waiting_pulls;
  if (session->waiting_pulls != NULL) session->waiting_pulls->pull_previous = stream;
  session->waiting_pulls = stream;
  stream->waiting = true;
  session->waiting_count++;
}

static void close_stream(cng_session *session, stream *stream) {
  list_remove(session, stream);
  if (stream->open_previous != NULL) {
    stream->open_previous->open_next = stream->open_next;
  } else {
    session->open = stream->open_next;
  }
  if (stream->open_next != NULL) stream->open_next->open_previous = stream->open_previous;
  session->open_streams--;
  if (stream->output_counts) session->unsent_output -= stream->output_end - stream->output_start;
  stream->next = session->closed;
  session->closed = stream;
}

// ---- rapid reset (CVE-2023-44487), and its kin where the peer's errors make the library reset (CVE-2025-8671)

// libnghttp2's own limit counts the peer's RST_STREAM only and says INTERNAL_ERROR, so it is lifted and this one holds.
static void count_reset(cng_session *session) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
  double now = (double)time.tv_sec + (double)time.tv_nsec / 1e9;
  session->resets_left += (now - session->resets_counted_at) * session->resets_per_second;
  session->resets_counted_at = now;
  if (session->resets_left > session->resets_burst) session->resets_left = session->resets_burst;
  session->resets_left -= 1;
  if (session->resets_left < 0) session->abused = true;
}

// ---- requests that were rejected and have not ended

// The answer is out, so the peer is told, without blame, to send no more (RFC 9113 §8.1). Submitting is what libnghttp2
// does allow in a callback.
static int dismiss(cng_session *session, stream *stream) {
  if (stream->dismissed || stream->half_closed) return 0;
  stream->dismissed = true;
  return nghttp2_submit_rst_stream(session->session, NGHTTP2_FLAG_NONE, stream->public.id, NGHTTP2_NO_ERROR);
}

// A rejected request may end by itself, and is held to HTTP/2 until then: whoever sends a body that is at odds with its
// headers is told of that, whether it came before the answer or after.
static bool is_to_be_dismissed(const cng_session *session, const stream *stream) {
  return !stream->rejected || session->leaving || stream->discarded > rejected_body;
}

static int discard(cng_session *session, stream *stream, size_t length) {
  nghttp2_session_consume(session->session, stream->public.id, length);
  stream->discarded += length;
  return stream->answered && is_to_be_dismissed(session, stream) ? dismiss(session, stream) : 0;
}

void cng_session_dismiss_rejected(cng_session *session) {
  for (stream *stream = session->open; stream != NULL; stream = stream->open_next) {
    if (stream->rejected && stream->answered) dismiss(session, stream);
  }
}

// ---- libnghttp2's callbacks: they record, and nothing else

static int on_begin_headers(nghttp2_session *inner, const nghttp2_frame *frame, void *user_data) {
  cng_session *session = user_data;
  if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  stream *made = stream_create(session, frame->hd.stream_id);
  if (made == NULL) return NGHTTP2_ERR_CALLBACK_FAILURE;
  session->block_start = session->header_count;
  session->block_open = true;
  session->in_block = made;
  nghttp2_session_set_stream_user_data(inner, frame->hd.stream_id, made);
  made->open_next = session->open;
  if (session->open != NULL) session->open->open_previous = made;
  session->open = made;
  session->open_streams++;
  return 0;
}

static bool equals(nghttp2_vec text, const char *word, size_t length) {
  return text.len == length && memcmp(text.base, word, length) == 0;
}
#define IS(TEXT, WORD) equals(TEXT, WORD, sizeof(WORD) - 1)

static cng_content_type content_type_of(nghttp2_vec value) {
  static const char grpc[] = "application/grpc";
  size_t length = sizeof grpc - 1;
  if (value.len < length || memcmp(value.base, grpc, length) != 0) return CNG_CONTENT_TYPE_OTHER;
  // +proto and parameters are ours; application/grpc-web and +json are other protocols.
  if (value.len == length || value.base[length] == ';') return CNG_CONTENT_TYPE_GRPC;
  nghttp2_vec rest = {value.base + length, value.len - length};
  return IS(rest, "+proto") ? CNG_CONTENT_TYPE_GRPC : CNG_CONTENT_TYPE_OTHER;
}

static cng_bytes bytes_of(nghttp2_vec text) { return (cng_bytes){text.base, text.len}; }

static int on_header(nghttp2_session *inner, const nghttp2_frame *frame, nghttp2_rcbuf *name, nghttp2_rcbuf *value,
                     uint8_t flags, void *user_data) {
  (void)inner;
  (void)flags;
  cng_session *session = user_data;
  stream *stream = session->in_block;
  if (stream == NULL || stream->public.id != frame->hd.stream_id) stream = stream_of(session, frame->hd.stream_id);
  if (stream == NULL) return 0;
  nghttp2_vec name_text = nghttp2_rcbuf_get_buf(name), value_text = nghttp2_rcbuf_get_buf(value);
  stream->header_bytes += (uint32_t)(name_text.len + value_text.len + 32);
  if (stream->header_bytes > session->max_header_bytes) {
    stream->public.request.headers_too_large = true;
    return 0;
  }
  if (!stream->in_request) return 0;  // a client's trailers; gRPC has none
  cng_request *request = &stream->public.request;
  switch (name_text.len) {
    case 2:
      if (IS(name_text, "te")) return 0;
      break;
    case 5:
      if (IS(name_text, ":path")) request->path = bytes_of(value_text);
      break;
    case 7:
      if (IS(name_text, ":method")) {
        request->is_post = IS(value_text, "POST");
        request->is_head = IS(value_text, "HEAD");
        return 0;
      }
      if (IS(name_text, ":scheme")) return 0;
      break;
    case 10:
      if (IS(name_text, ":authority")) return 0;
      break;
    case 12:
      if (IS(name_text, "content-type")) {
        request->content_type = (uint8_t)content_type_of(value_text);
        return 0;
      }
      if (IS(name_text, "grpc-timeout")) request->timeout = bytes_of(value_text);
      break;
    case 13:
      if (IS(name_text, "grpc-encoding")) request->encoding = bytes_of(value_text);
      break;
    default:
      break;
  }
  return append_header(session, name, value) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_data_chunk(nghttp2_session *inner, uint8_t flags, int32_t id, const uint8_t *data, size_t length,
                         void *user_data) {
  (void)inner;
  (void)flags;
  cng_session *session = user_data;
  stream *stream = stream_of(session, id);
  if (stream == NULL) {
    // A stream we no longer know: its bytes still count against the connection's window.
    nghttp2_session_consume_connection(session->session, length);
    return 0;
  }
  if (stream->rejected) return discard(session, stream, length) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
  cng_event *event = append_event(session, CNG_EVENT_DATA, stream);
  if (event == NULL) return NGHTTP2_ERR_CALLBACK_FAILURE;
  event->bytes = (cng_bytes){data, length};
  return 0;
}

static int on_frame(nghttp2_session *inner, const nghttp2_frame *frame, void *user_data) {
  (void)inner;
  cng_session *session = user_data;
  switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA: {
      stream *stream = stream_of(session, frame->hd.stream_id);
      if (stream == NULL) return 0;
      if (frame->hd.type == NGHTTP2_HEADERS && stream->in_request) {
        stream->in_request = false;
        session->block_open = false;
        session->in_block = NULL;
        stream->public.request.first_header = session->block_start;
        stream->public.request.header_count = session->header_count - session->block_start;
        if (append_event(session, CNG_EVENT_REQUEST, stream) == NULL) return NGHTTP2_ERR_CALLBACK_FAILURE;
      }
      if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        stream->half_closed = true;
        if (append_event(session, CNG_EVENT_HALF_CLOSED, stream) == NULL) return NGHTTP2_ERR_CALLBACK_FAILURE;
      }
      return 0;
    }
    case NGHTTP2_PING:
      if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 && append_event(session, CNG_EVENT_PING_ACK, NULL) == NULL) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
      }
      return 0;
    case NGHTTP2_GOAWAY: {
      cng_event *event = append_event(session, CNG_EVENT_GOAWAY, NULL);
      if (event == NULL) return NGHTTP2_ERR_CALLBACK_FAILURE;
      event->code = frame->goaway.error_code;
      return 0;
    }
    default:
      return 0;
  }
}

static int on_stream_close(nghttp2_session *inner, int32_t id, uint32_t code, void *user_data) {
  cng_session *session = user_data;
  stream *stream = stream_of(session, id);
  if (stream == NULL) return 0;
  nghttp2_session_set_stream_user_data(inner, id, NULL);
  if (!stream->answered) count_reset(session);
  stream->public.gone = true;
  if (session->in_block == stream) session->in_block = NULL;
  close_stream(session, stream);
  cng_event *event = append_event(session, CNG_EVENT_CLOSED, stream);
  if (event != NULL) event->code = code;
  return event == NULL ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

// Of the frames that libnghttp2 does not let through, those that would have opened a stream too many.
static int on_invalid_frame(nghttp2_session *inner, const nghttp2_frame *frame, int error, void *user_data) {
  (void)inner;
  cng_session *session = user_data;
  if (frame->hd.type != NGHTTP2_HEADERS || session->open_streams < session->max_concurrent_streams) return 0;
  if (error == NGHTTP2_ERR_REFUSED_STREAM) {
    session->refused_streams++;
  } else if (stream_of(session, frame->hd.stream_id) == NULL) {
    session->too_many_streams = true;
  }
  return 0;
}

// A response may end before its request has.
static int on_frame_sent(nghttp2_session *inner, const nghttp2_frame *frame, void *user_data) {
  (void)inner;
  cng_session *session = user_data;
  if (frame->hd.type == NGHTTP2_GOAWAY) session->blame = frame->goaway.error_code;
  if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
  if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
  stream *stream = stream_of(session, frame->hd.stream_id);
  if (stream == NULL) return 0;
  stream->answered = true;
  if (!is_to_be_dismissed(session, stream)) return 0;
  return dismiss(session, stream) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

// ---- the data source of a response

static nghttp2_nv text_header(const char *name, const uint8_t *value, size_t length) {
  return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), length, NGHTTP2_NV_FLAG_NO_COPY_NAME};
}

// The status is at most three fields; the caller's own come before them.
enum { status_fields = 3, most_fields = 64 };

static size_t status_headers(const stream *stream, nghttp2_nv *headers) {
  const char *digits = status_digits[stream->status <= 16 ? stream->status : 2];
  size_t count = 0;
  if (stream->trailing != NULL) {
    count = stream->trailing->count;
    memcpy(headers, stream->trailing->values, count * sizeof *headers);
  }
  headers[count++] =
      (nghttp2_nv){(uint8_t *)"grpc-status", (uint8_t *)digits, sizeof("grpc-status") - 1, strlen(digits),
                   NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
  if (stream->message_length > 0) {
    headers[count++] = text_header("grpc-message", stream->status_text, stream->message_length);
  }
  if (stream->details_length > 0) {
    headers[count++] = text_header("grpc-status-details-bin", stream->status_text + stream->message_length,
                                   stream->details_length);
  }
  return count;
}

static ssize_t read_source(nghttp2_session *inner, int32_t id, uint8_t *buffer, size_t length, uint32_t *flags,
                           nghttp2_data_source *source, void *user_data) {
  cng_session *session = user_data;
  stream *stream = source->ptr;
  if (stream->cut) return NGHTTP2_ERR_DEFERRED;
  size_t filled = stream->output_end - stream->output_start;
  if (filled > length) filled = length;
  if (filled > 0) {
    memcpy(buffer, stream->output + stream->output_start, filled);
    stream->output_start += filled;
    session->unsent_output -= filled;
    if (stream->output_start == stream->output_end) stream->output_start = stream->output_end = 0;
    if (stream->notify_drained && stream->output_end - stream->output_start <= stream->drained_at) {
      stream->notify_drained = false;
      if (append_event(session, CNG_EVENT_DRAINED, stream) == NULL) return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
  }
  if (stream->pull != NULL && !stream->pull_ended && filled < length) {
    bool ended = false;
    filled += stream->pull(stream->pull_context, buffer + filled, length - filled, &ended);
    if (ended) stream->pull_ended = stream->finished = true;
  }
  if (stream->finished && stream->output_start == stream->output_end) {
    *flags = NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    nghttp2_nv trailers[most_fields + status_fields];
    size_t count = status_headers(stream, trailers);
    int rv = nghttp2_submit_trailer(inner, id, trailers, count);
    return rv != 0 ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : (ssize_t)filled;
  }
  if (filled == 0) {
    stream->deferred = true;
    if (stream->pull != NULL) list_add(session, stream);
    return NGHTTP2_ERR_DEFERRED;
  }
  return (ssize_t)filled;
}

// The body of an answer that is not gRPC's: its end is the stream's.
static ssize_t read_body(nghttp2_session *inner, int32_t id, uint8_t *buffer, size_t length, uint32_t *flags,
                         nghttp2_data_source *source, void *user_data) {
  (void)inner;
  (void)id;
  (void)user_data;
  stream *stream = source->ptr;
  size_t filled = stream->output_end - stream->output_start;
  if (filled > length) filled = length;
  memcpy(buffer, stream->output + stream->output_start, filled);
  stream->output_start += filled;
  if (stream->output_start == stream->output_end) *flags = NGHTTP2_DATA_FLAG_EOF;
  return (ssize_t)filled;
}

// ---- the session

cng_session *cng_session_create(const cng_limits *limits) {
  cng_session *session = calloc(1, sizeof *session);
  if (session == NULL) return NULL;
  session->max_header_bytes = limits->max_header_bytes;
  session->max_concurrent_streams = limits->max_concurrent_streams;
  session->resets_left = session->resets_burst = limits->reset_burst;
  session->resets_per_second = limits->reset_rate;
  session->pool = cng_pool_retain();
  nghttp2_session_callbacks *callbacks = NULL;
  nghttp2_option *option = NULL;
  if (session->pool == NULL || nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0) {
    goto failed;
  }
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
  nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
  nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);

  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_max_settings(option, limits->max_settings);
  nghttp2_option_set_max_outbound_ack(option, limits->max_outbound_ack);
  nghttp2_option_set_max_send_header_block_length(option, 64 * 1024);
  if (nghttp2_option_set_stream_reset_rate_limit != NULL) {
    nghttp2_option_set_stream_reset_rate_limit(option, UINT64_MAX, UINT64_MAX);
  }
  if (nghttp2_option_set_max_continuations != NULL) {
    // Each read that ends within a frame's header counts as a frame there (nghttp2/nghttp2#2817), and a header can come
    // in nine reads: so that no slow peer is taken for a flood, what is asked for is as many reads.
    nghttp2_option_set_max_continuations(option, limits->max_continuations * (size_t)frame_header);
  }
  int rv = nghttp2_session_server_new3(&session->session, callbacks, session, option, cng_pool_memory(session->pool));
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_option_del(option);
  callbacks = NULL;
  option = NULL;
  if (rv != 0) goto failed;

  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits->max_concurrent_streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits->stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits->max_header_bytes},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  };
  if (nghttp2_submit_settings(session->session, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings) != 0 ||
      nghttp2_session_set_local_window_size(session->session, NGHTTP2_FLAG_NONE, 0,
                                            (int32_t)limits->connection_window) != 0) {
    goto failed;
  }
  return session;

failed:
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_option_del(option);
  cng_session_destroy(session);
  return NULL;
}

static void recycle_closed(cng_session *session) {
  if (session->closed == NULL) return;
  cng_spares *spares = cng_pool_spares(session->pool);
  while (session->closed != NULL) {
    stream *released = session->closed;
    session->closed = released->next;
    free(released->status_text);
    free(released->initial);
    free(released->trailing);
    released->status_text = NULL;
    released->initial = released->trailing = NULL;
    if (released->output_capacity > kept_output) {
      free(released->output);
      released->output = NULL;
      released->output_capacity = 0;
    }
    if (spares->stream_count >= kept_streams) {
      stream_free(released);
    } else {
      released->next = spares->streams;
      spares->streams = released;
      spares->stream_count++;
    }
  }
}

void cng_session_destroy(cng_session *session) {
  if (session == NULL) return;
  // Deleting the session calls nobody back, so streams that are still open are closed by hand.
  nghttp2_session_del(session->session);
  while (session->open != NULL) close_stream(session, session->open);
  release_headers(session, true);
  cng_session_clear_events(session);
  if (session->pool != NULL) {
    if (cng_pool_is_last(session->pool)) free_spares(cng_pool_spares(session->pool));
    cng_pool_release(session->pool);
  }
  free(session);
}

int cng_session_feed(cng_session *session, const uint8_t *bytes, size_t length) {
  ssize_t taken = nghttp2_session_mem_recv(session->session, bytes, length);
  if (taken < 0) return (int)taken;
  if (session->out_of_memory) return NGHTTP2_ERR_NOMEM;
  if (session->abused && !session->terminated) {
    return cng_session_terminate(session, NGHTTP2_ENHANCE_YOUR_CALM);
  }
  return 0;
}

int cng_session_terminate(cng_session *session, uint32_t code) {
  if (session->terminated) return 0;
  session->terminated = true;
  return nghttp2_session_terminate_session(session->session, code);
}

const cng_event *cng_session_events(const cng_session *session, size_t *count) {
  *count = session->event_count;
  return session->events;
}

const cng_header *cng_session_headers(const cng_session *session) { return session->headers; }

void cng_session_clear_events(cng_session *session) {
  release_headers(session, false);
  release_events(session);
  recycle_closed(session);
}

ssize_t cng_session_drain(cng_session *session, uint8_t *buffer, size_t capacity) {
  size_t filled = 0;
  while (filled < capacity) {
    if (session->unsent_length == 0) {
      ssize_t length = nghttp2_session_mem_send(session->session, &session->unsent);
      if (length < 0) return length;
      if (length == 0) break;
      session->unsent_length = (size_t)length;
    }
    size_t part = session->unsent_length < capacity - filled ? session->unsent_length : capacity - filled;
    memcpy(buffer + filled, session->unsent, part);
    filled += part;
    session->unsent += part;
    session->unsent_length -= part;
  }
  return (ssize_t)filled;
}

bool cng_session_is_alive(const cng_session *session) {
  return session->unsent_length > 0 || nghttp2_session_want_read(session->session) != 0 ||
         nghttp2_session_want_write(session->session) != 0;
}

uint32_t cng_session_open_streams(const cng_session *session) { return session->open_streams; }
size_t cng_session_unsent(const cng_session *session) { return session->unsent_output; }
uint32_t cng_session_blame(const cng_session *session) { return session->blame; }
uint64_t cng_session_refused_streams(const cng_session *session) { return session->refused_streams; }

cng_fault cng_session_fault(const cng_session *session) {
  if (session->abused) return CNG_FAULT_RESETS;
  if (session->too_many_streams) return CNG_FAULT_STREAMS;
  // libnghttp2 itself says it of nothing else.
  return session->blame == NGHTTP2_ENHANCE_YOUR_CALM ? CNG_FAULT_SETTINGS : CNG_FAULT_OTHER;
}

void cng_stream_consume(cng_session *session, cng_stream *stream, size_t length) {
  nghttp2_session_consume(session->session, stream->id, length);
}

// ---- answering

// The public part is the first member, so the pointers are one (C11 6.7.2.1 §15).
static stream *private_of(cng_stream *public) { return (stream *)public; }

enum { response_fields = 3 };

static size_t response_headers(const stream *stream, nghttp2_nv *headers) {
  headers[0] = status_200;
  headers[1] = content_type_grpc;
  headers[2] = accept_encodings;
  if (stream->initial == NULL) return response_fields;
  memcpy(headers + response_fields, stream->initial->values, stream->initial->count * sizeof *headers);
  return response_fields + stream->initial->count;
}

static int submit_headers(cng_session *session, stream *stream) {
  nghttp2_nv headers[response_fields + most_fields];
  size_t count = response_headers(stream, headers);
  nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = read_source};
  stream->started = true;
  return nghttp2_submit_response(session->session, stream->public.id, headers, count, &provider);
}

static int set_fields(fields **place, const cng_header *given, size_t count) {
  if (count > most_fields) return NGHTTP2_ERR_INVALID_ARGUMENT;
  size_t size = sizeof(fields) + count * sizeof(nghttp2_nv);
  for (size_t index = 0; index < count; index++) size += given[index].name.length + given[index].value.length;
  fields *made = malloc(size);
  if (made == NULL) return NGHTTP2_ERR_NOMEM;
  uint8_t *text = (uint8_t *)(made->values + count);
  made->count = count;
  for (size_t index = 0; index < count; index++) {
    cng_bytes name = given[index].name, value = given[index].value;
    if (name.length > 0) memcpy(text, name.start, name.length);
    if (value.length > 0) memcpy(text + name.length, value.start, value.length);
    made->values[index] = (nghttp2_nv){text, text + name.length, name.length, value.length, NGHTTP2_NV_FLAG_NONE};
    text += name.length + value.length;
  }
  free(*place);
  *place = made;
  return 0;
}

static int resume(cng_session *session, stream *stream) {
  if (!stream->deferred) return 0;
  stream->deferred = false;
  list_remove(session, stream);
  return nghttp2_session_resume_data(session->session, stream->public.id);
}

int cng_stream_start(cng_session *session, cng_stream *public) {
  stream *stream = private_of(public);
  return stream->started ? 0 : submit_headers(session, stream);
}

uint8_t *cng_stream_reserve(cng_stream *public, size_t length) {
  stream *stream = private_of(public);
  if (stream->output_capacity - stream->output_end < length) {
    size_t pending = stream->output_end - stream->output_start;
    if (stream->output_start > 0) {
      memmove(stream->output, stream->output + stream->output_start, pending);
      stream->output_start = 0;
      stream->output_end = pending;
    }
    if (stream->output_capacity - pending < length) {
      size_t capacity = stream->output_capacity == 0 ? 256 : stream->output_capacity;
      while (capacity - pending < length) {
        if (capacity > SIZE_MAX / 2) return NULL;
        capacity *= 2;
      }
      uint8_t *grown = realloc(stream->output, capacity);
      if (grown == NULL) return NULL;
      stream->output = grown;
      stream->output_capacity = capacity;
    }
  }
  uint8_t *room = stream->output + stream->output_end;
  stream->output_end += length;
  return room;
}

int cng_stream_write(cng_session *session, cng_stream *public, const uint8_t *bytes, size_t length) {
  stream *stream = private_of(public);
  uint8_t *room = cng_stream_reserve(public, length);
  if (room == NULL) return NGHTTP2_ERR_NOMEM;
  memcpy(room, bytes, length);
  session->unsent_output += length;
  stream->output_counts = true;
  return stream->started ? resume(session, stream) : submit_headers(session, stream);
}

void cng_stream_set_status(cng_stream *public, uint32_t status, cng_bytes message, cng_bytes details) {
  stream *stream = private_of(public);
  stream->status = status;
  if (message.length + details.length == 0) return;
  uint8_t *text = malloc(message.length + details.length);
  if (text == NULL) return;  // the code alone still arrives
  if (message.length > 0) memcpy(text, message.start, message.length);
  if (details.length > 0) memcpy(text + message.length, details.start, details.length);
  free(stream->status_text);
  stream->status_text = text;
  stream->message_length = message.length;
  stream->details_length = details.length;
}

int cng_stream_finish(cng_session *session, cng_stream *public, uint32_t status, cng_bytes message, cng_bytes details) {
  stream *stream = private_of(public);
  if (stream->finished) return 0;
  cng_stream_set_status(public, status, message, details);
  stream->finished = true;
  stream->pull_ended = true;
  if (stream->started) return resume(session, stream);
  if (stream->output_end > stream->output_start) return submit_headers(session, stream);
  stream->started = true;
  nghttp2_nv headers[response_fields + most_fields + most_fields + status_fields];
  size_t count = response_headers(stream, headers);
  count += status_headers(stream, headers + count);
  return nghttp2_submit_response(session->session, public->id, headers, count, NULL);
}

int cng_stream_cut(cng_session *session, cng_stream *public, uint32_t status, cng_bytes message, cng_bytes details) {
  stream *stream = private_of(public);
  if (stream->finished || !stream->started) {
    return cng_stream_finish(session, public, status, message, details);
  }
  cng_stream_set_status(public, status, message, details);
  stream->finished = stream->pull_ended = stream->cut = true;
  list_remove(session, stream);
  nghttp2_nv trailers[most_fields + status_fields];
  size_t count = status_headers(stream, trailers);
  return nghttp2_submit_trailer(session->session, public->id, trailers, count);
}

int cng_stream_set_initial(cng_stream *public, const cng_header *fields, size_t count) {
  return set_fields(&private_of(public)->initial, fields, count);
}

int cng_stream_set_trailing(cng_stream *public, const cng_header *fields, size_t count) {
  return set_fields(&private_of(public)->trailing, fields, count);
}

size_t cng_stream_pending(const cng_stream *public) {
  const stream *stream = (const struct stream *)public;
  return stream->output_end - stream->output_start;
}

void cng_stream_notify_drained(cng_stream *public, size_t low) {
  stream *stream = private_of(public);
  stream->notify_drained = true;
  stream->drained_at = low;
}

int cng_stream_start_pull(cng_session *session, cng_stream *public, cng_pull pull, void *context) {
  stream *stream = private_of(public);
  stream->pull = pull;
  stream->pull_context = context;
  return stream->started ? resume(session, stream) : submit_headers(session, stream);
}

void cng_session_resume_all(cng_session *session) {
  while (session->waiting_pulls != NULL) resume(session, session->waiting_pulls);
}

void cng_stream_resume(cng_session *session, cng_stream *public) { resume(session, private_of(public)); }

size_t cng_session_waiting_pulls(const cng_session *session) { return session->waiting_count; }

int cng_stream_reject(cng_session *session, cng_stream *public, const char status[3], cng_bytes body) {
  stream *stream = private_of(public);
  stream->started = stream->finished = stream->rejected = true;
  uint8_t *room = cng_stream_reserve(public, body.length);
  if (room == NULL) return NGHTTP2_ERR_NOMEM;
  memcpy(room, body.start, body.length);
  nghttp2_nv headers[] = {
      {(uint8_t *)":status", (uint8_t *)status, sizeof(":status") - 1, 3, NGHTTP2_NV_FLAG_NO_COPY_NAME},
      NV("content-type", "text/plain; charset=utf-8"),
  };
  // The answer to HEAD has no content (RFC 9110 §9.3.2).
  if (public->request.is_head) return nghttp2_submit_response(session->session, public->id, headers, 2, NULL);
  nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = read_body};
  return nghttp2_submit_response(session->session, public->id, headers, 2, &provider);
}

int cng_stream_reset(cng_session *session, cng_stream *stream, uint32_t code) {
  return nghttp2_submit_rst_stream(session->session, NGHTTP2_FLAG_NONE, stream->id, code);
}

// ---- the end

int cng_session_ping(cng_session *session, const uint8_t opaque[8]) {
  return nghttp2_submit_ping(session->session, NGHTTP2_FLAG_NONE, opaque);
}

int cng_session_announce_shutdown(cng_session *session) {
  session->leaving = true;
  cng_session_dismiss_rejected(session);
  return nghttp2_submit_shutdown_notice(session->session);
}

int cng_session_goaway(cng_session *session, uint32_t code) {
  int32_t last = nghttp2_session_get_last_proc_stream_id(session->session);
  return nghttp2_submit_goaway(session->session, NGHTTP2_FLAG_NONE, last, code, NULL, 0);
}

const char *cng_error_text(int error) { return nghttp2_strerror(error); }
