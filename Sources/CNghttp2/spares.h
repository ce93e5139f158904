// What a session needs only from a read to its answers. The sessions of a thread hand it on, so that an idle one holds
// none of it, and a busy one finds it in the processor's cache rather than one of its own in memory.
#ifndef CNG_SPARES_H
#define CNG_SPARES_H

#include <nghttp2/nghttp2.h>

#include "CNghttp2.h"

typedef struct cng_spares {
  cng_event *events;
  size_t event_capacity;
  cng_header *headers;
  nghttp2_rcbuf **buffers;
  size_t header_capacity;
  struct stream *streams;
  size_t stream_count;
} cng_spares;

#endif
