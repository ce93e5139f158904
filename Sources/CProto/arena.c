#include "arena.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

enum { first_block = 16 * 1024 };

typedef struct block {
  struct block *next;
  size_t capacity;
  _Alignas(16) uint8_t bytes[];
} block;

struct cproto_arena {
  ProtobufCAllocator allocator;
  block *head;      // the one being filled; older, full ones behind it
  size_t used;      // of head
  size_t handed_out;
  size_t limit;
};

static block *block_create(size_t capacity) {
  block *made = malloc(sizeof(block) + capacity);
  if (made != NULL) {
    made->next = NULL;
    made->capacity = capacity;
  }
  return made;
}

static void *allocate(void *data, size_t size) { return cproto_arena_alloc(data, size); }

static void release(void *data, void *pointer) {
  (void)data;
  (void)pointer;
}

cproto_arena *cproto_arena_create(size_t limit) {
  cproto_arena *arena = calloc(1, sizeof *arena);
  if (arena == NULL) return NULL;
  arena->head = block_create(first_block);
  if (arena->head == NULL) {
    free(arena);
    return NULL;
  }
  arena->limit = limit;
  arena->allocator = (ProtobufCAllocator){.alloc = allocate, .free = release, .allocator_data = arena};
  return arena;
}

static void free_chain(block *chain) {
  while (chain != NULL) {
    block *next = chain->next;
    free(chain);
    chain = next;
  }
}

void cproto_arena_destroy(cproto_arena *arena) {
  if (arena == NULL) return;
  free_chain(arena->head);
  free(arena);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static _Thread_local cproto_arena *of_thread;

static void destroy_of_thread(void *arena) {
  of_thread = NULL;
  cproto_arena_destroy(arena);
}

static void make_key(void) { pthread_key_create(&key, destroy_of_thread); }

cproto_arena *cproto_arena_of_thread(void) {
  if (of_thread != NULL) return of_thread;
  pthread_once(&once, make_key);
  of_thread = cproto_arena_create(SIZE_MAX);
  // The key only sees to it that the arena is destroyed.
  if (of_thread != NULL) pthread_setspecific(key, of_thread);
  return of_thread;
}

void cproto_arena_reset(cproto_arena *arena) {
  // The first block is the last of the chain.
  block *kept = arena->head;
  while (kept->next != NULL) {
    block *next = kept->next;
    free(kept);
    kept = next;
  }
  arena->head = kept;
  arena->used = 0;
  arena->handed_out = 0;
}

void *cproto_arena_alloc(cproto_arena *arena, size_t size) {
  if (size > arena->limit - arena->handed_out) return NULL;
  size_t rounded = (size + 15) & ~(size_t)15;
  if (rounded > arena->head->capacity - arena->used) {
    size_t capacity = arena->head->capacity * 2;
    if (capacity > 1024 * 1024) capacity = 1024 * 1024;
    if (capacity < rounded) capacity = rounded;
    block *made = block_create(capacity);
    if (made == NULL) return NULL;
    made->next = arena->head;
    arena->head = made;
    arena->used = 0;
  }
  void *pointer = arena->head->bytes + arena->used;
  arena->used += rounded;
  arena->handed_out = rounded > arena->limit - arena->handed_out ? arena->limit : arena->handed_out + rounded;
  return pointer;
}

ProtobufCAllocator *cproto_arena_allocator(cproto_arena *arena) { return &arena->allocator; }
