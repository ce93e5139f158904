// A server's HTTP/2 connection for gRPC, over libnghttp2.
//
// libnghttp2's callbacks may not call back into it (nghttp2/nghttp2#1088), so here they only append to a record of
// events. The caller feeds bytes, walks the record, acts, clears the record, and drains what there is to send:
//
//   cng_session_feed → cng_session_events … → cng_session_clear_events → cng_session_drain
//
// Nothing here is thread-safe: one session belongs to one thread from its creation to its end.
#ifndef CNGHTTP2_H
#define CNGHTTP2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct cng_session cng_session;

typedef struct cng_limits {
  uint32_t max_concurrent_streams;  // told to the peer; the library's own default is no limit
  uint32_t stream_window;           // bytes a peer may send on one stream before we consume them
  uint32_t connection_window;
  uint32_t max_header_bytes;        // of one header block: names, values, and 32 for each (RFC 9113 §10.5.1)
  uint32_t max_settings;            // entries in one SETTINGS frame
  uint32_t max_outbound_ack;        // unsent answers to PING and SETTINGS
  uint32_t max_continuations;       // CONTINUATION frames of one header block that are let through
                                    // however they are split; whole ones end the connection at nine times as many
  uint32_t reset_burst;             // streams that may end before their answer, at once (CVE-2023-44487) …
  uint32_t reset_rate;              // … and each second after; beyond it GOAWAY with ENHANCE_YOUR_CALM
} cng_limits;

typedef struct cng_bytes {
  const uint8_t *start;
  size_t length;
} cng_bytes;

typedef enum cng_content_type {
  CNG_CONTENT_TYPE_OTHER = 0,  // absent counts as other
  CNG_CONTENT_TYPE_GRPC = 1,   // application/grpc, application/grpc+proto
} cng_content_type;

// One field of a header block, lower-case as HTTP/2 has it.
typedef struct cng_header {
  cng_bytes name;
  cng_bytes value;
} cng_header;

// What the engine needs of a request's header block. Bytes are valid until the record is cleared.
typedef struct cng_request {
  size_t first_header;  // of the block's fields in cng_session_headers; pseudo-header fields but :path are left out
  size_t header_count;
  cng_bytes path;
  cng_bytes timeout;   // grpc-timeout; start is NULL when absent
  cng_bytes encoding;  // grpc-encoding
  bool is_post;
  bool is_head;
  bool headers_too_large;  // the block went over max_header_bytes and was cut
  uint8_t content_type;    // cng_content_type
} cng_request;

typedef struct cng_stream {
  int32_t id;
  uint32_t slot;  // the caller's own; starts as UINT32_MAX
  bool gone;      // its CNG_EVENT_CLOSED is in the record
  cng_request request;
} cng_stream;

typedef enum cng_event_kind {
  CNG_EVENT_REQUEST = 1,      // a header block is complete: stream->request
  CNG_EVENT_DATA = 2,         // bytes, which point into the bytes fed
  CNG_EVENT_HALF_CLOSED = 3,  // the peer sends no more on the stream
  CNG_EVENT_CLOSED = 4,       // the stream is gone: code is the HTTP/2 error code. The last event of a stream
  CNG_EVENT_PING_ACK = 5,     // our ping came back
  CNG_EVENT_GOAWAY = 6,       // the peer is leaving: code
  CNG_EVENT_DRAINED = 7,      // what was written to the stream is down to what cng_stream_notify_drained asked for
} cng_event_kind;

typedef struct cng_event {
  uint8_t kind;
  uint32_t code;
  cng_stream *stream;  // valid until the record that has its CNG_EVENT_CLOSED is cleared
  cng_bytes bytes;
} cng_event;

// NULL when there is no memory. The server's SETTINGS are queued.
cng_session *cng_session_create(const cng_limits *limits);
void cng_session_destroy(cng_session *session);

// Takes bytes from the peer: 0, or a negative libnghttp2 error after which the session is only good to be drained and
// destroyed. The bytes must stay in place until the record is cleared.
int cng_session_feed(cng_session *session, const uint8_t *bytes, size_t length);
// GOAWAY with this code, and then the end; nothing when there was one like it before.
int cng_session_terminate(cng_session *session, uint32_t code);
const cng_event *cng_session_events(const cng_session *session, size_t *count);
void cng_session_clear_events(cng_session *session);
// The fields of the requests in the record.
const cng_header *cng_session_headers(const cng_session *session);

// Copies what is to be sent into the buffer: the number of bytes, 0 when there is nothing, or a negative error.
ssize_t cng_session_drain(cng_session *session, uint8_t *buffer, size_t capacity);

// Whether the connection is still of use in either direction.
bool cng_session_is_alive(const cng_session *session);
uint32_t cng_session_open_streams(const cng_session *session);
// Bytes written to streams that libnghttp2 has not asked for yet.
size_t cng_session_unsent(const cng_session *session);
// The error code of the last GOAWAY sent, 0 before.
uint32_t cng_session_blame(const cng_session *session);
// What a GOAWAY with an error was for, where the code alone does not tell.
typedef enum cng_fault {
  CNG_FAULT_OTHER = 0,
  CNG_FAULT_RESETS = 1,    // reset_burst and reset_rate
  CNG_FAULT_STREAMS = 2,   // more than max_concurrent_streams, which the peer had acknowledged
  CNG_FAULT_SETTINGS = 3,  // max_settings
} cng_fault;
cng_fault cng_session_fault(const cng_session *session);
// Streams refused (REFUSED_STREAM) because there were max_concurrent_streams, so far.
uint64_t cng_session_refused_streams(const cng_session *session);

// Gives flow-control credit back for bytes that came with CNG_EVENT_DATA.
void cng_stream_consume(cng_session *session, cng_stream *stream, size_t length);

// ---- answering a call. All of them return 0 or a negative libnghttp2 error.

// Response headers (HTTP 200, application/grpc), after which messages may be written.
int cng_stream_start(cng_session *session, cng_stream *stream);

// Bytes of framed messages; copied. Starts the response when that has not been done.
int cng_stream_write(cng_session *session, cng_stream *stream, const uint8_t *bytes, size_t length);

// Bytes written to the stream and not yet taken by libnghttp2.
size_t cng_stream_pending(const cng_stream *stream);
// Asks for one CNG_EVENT_DRAINED once no more than low bytes are pending.
void cng_stream_notify_drained(cng_stream *stream, size_t low);

// Fields to go with the response headers, and with the trailers; copied. Before the response is started, and before it is
// finished. NGHTTP2_ERR_NOMEM when there is no memory.
int cng_stream_set_initial(cng_stream *stream, const cng_header *fields, size_t count);
int cng_stream_set_trailing(cng_stream *stream, const cng_header *fields, size_t count);

// Room for length bytes at the end of what is to be sent, to be filled by the caller: a write without its copy. NULL
// when there is no memory.
uint8_t *cng_stream_reserve(cng_stream *stream, size_t length);

// Ends the call with its status, as trailers, or as the only headers when nothing was started. message is
// percent-encoded, details is base64; both may be empty.
int cng_stream_finish(cng_session *session, cng_stream *stream, uint32_t status, cng_bytes message, cng_bytes details);

// The same for a stream that is started, without what is still to be sent on it: trailers need no room in a window, and
// what does may wait for it without end.
int cng_stream_cut(cng_session *session, cng_stream *stream, uint32_t status, cng_bytes message, cng_bytes details);

// Asked for bytes whenever the peer has room for them: fills the buffer and returns how many. 0 with *ended false: none
// now, ask again after cng_session_resume. *ended true: no more will come; the status is set with
// cng_stream_set_status, from within the call or before. Must not call any cng_session or cng_stream function but that.
typedef size_t (*cng_pull)(void *context, uint8_t *buffer, size_t capacity, bool *ended);

// A response whose messages are pulled. context must live until the stream's CNG_EVENT_CLOSED.
int cng_stream_start_pull(cng_session *session, cng_stream *stream, cng_pull pull, void *context);
void cng_stream_set_status(cng_stream *stream, uint32_t status, cng_bytes message, cng_bytes details);

// Asks the pulled streams again that had nothing: all of them, or one.
void cng_session_resume_all(cng_session *session);
void cng_stream_resume(cng_session *session, cng_stream *stream);
size_t cng_session_waiting_pulls(const cng_session *session);

// An answer that is not gRPC's: status is three digits, body short text. The request may go on to its end for 64 KiB.
int cng_stream_reject(cng_session *session, cng_stream *stream, const char status[3], cng_bytes body);
// Tells the peer to end all requests that were rejected, have their answers, and have not ended.
void cng_session_dismiss_rejected(cng_session *session);
int cng_stream_reset(cng_session *session, cng_stream *stream, uint32_t code);

// ---- the connection's end
int cng_session_ping(cng_session *session, const uint8_t opaque[8]);
int cng_session_announce_shutdown(cng_session *session);             // GOAWAY with the highest id: no new streams, please
int cng_session_goaway(cng_session *session, uint32_t code);         // GOAWAY with the last id taken
const char *cng_error_text(int error);

#endif
