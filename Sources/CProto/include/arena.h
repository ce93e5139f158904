// A bump allocator for protobuf-c: a message and all it points to are released together, by a reset, and unpacking
// costs no malloc once the first block is there.
#ifndef CPROTO_ARENA_H
#define CPROTO_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

typedef struct cproto_arena cproto_arena;

// limit: the most bytes handed out between two resets; beyond it allocation returns NULL, so that a hostile message
// fails to unpack rather than take the machine's memory. NULL when there is no memory.
cproto_arena *cproto_arena_create(size_t limit);
// The calling thread's own, without a limit, which goes with the thread. NULL when memory could not be had.
cproto_arena *cproto_arena_of_thread(void);
void cproto_arena_destroy(cproto_arena *arena);

// Releases everything handed out. Keeps one block for the next message.
void cproto_arena_reset(cproto_arena *arena);

// 16-byte aligned, not zeroed; NULL beyond the limit.
void *cproto_arena_alloc(cproto_arena *arena, size_t size);

// For protobuf_c_message_unpack; its free does nothing.
ProtobufCAllocator *cproto_arena_allocator(cproto_arena *arena);

#endif
