#include "pool.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
  smallest = 32,
  class_count = 8,       // 32 … 4096 bytes
  most_kept = 1024,      // blocks of one class that wait for their next use
  large = class_count,   // the class of what goes straight to malloc
};

typedef struct header {
  _Alignas(16) size_t size;  // usable bytes
  uint32_t class;
} header;

typedef struct free_block {
  struct free_block *next;
} free_block;

struct cng_pool {
  nghttp2_mem memory;
  size_t references;
  free_block *free[class_count];
  uint32_t kept[class_count];
  cng_spares spares;
};

static _Thread_local cng_pool *thread_pool;

static uint32_t class_of(size_t size) {
  uint32_t class = 0;
  for (size_t capacity = smallest; class < class_count && capacity < size; capacity *= 2) class++;
  return class;
}

static void *pool_malloc(size_t size, void *data) {
  cng_pool *pool = data;
  uint32_t class = class_of(size);
  if (class < class_count && pool->free[class] != NULL) {
    free_block *block = pool->free[class];
    pool->free[class] = block->next;
    pool->kept[class]--;
    return block;
  }
  size_t usable = class < class_count ? (size_t)smallest << class : size;
  if (usable > SIZE_MAX - sizeof(header)) return NULL;
  header *made = malloc(sizeof(header) + usable);
  if (made == NULL) return NULL;
  made->size = usable;
  made->class = class;
  return made + 1;
}

static void pool_free(void *pointer, void *data) {
  if (pointer == NULL) return;
  cng_pool *pool = data;
  header *block = (header *)pointer - 1;
  if (block->class == large || pool->kept[block->class] >= most_kept) {
    free(block);
    return;
  }
  free_block *freed = pointer;
  freed->next = pool->free[block->class];
  pool->free[block->class] = freed;
  pool->kept[block->class]++;
}

static void *pool_calloc(size_t count, size_t size, void *data) {
  if (size != 0 && count > SIZE_MAX / size) return NULL;
  void *pointer = pool_malloc(count * size, data);
  if (pointer != NULL) memset(pointer, 0, count * size);
  return pointer;
}

static void *pool_realloc(void *pointer, size_t size, void *data) {
  if (pointer == NULL) return pool_malloc(size, data);
  header *block = (header *)pointer - 1;
  if (size <= block->size) return pointer;
  void *moved = pool_malloc(size, data);
  if (moved == NULL) return NULL;
  memcpy(moved, pointer, block->size);
  pool_free(pointer, data);
  return moved;
}

cng_pool *cng_pool_retain(void) {
  if (thread_pool == NULL) {
    thread_pool = calloc(1, sizeof *thread_pool);
    if (thread_pool == NULL) return NULL;
    thread_pool->memory = (nghttp2_mem){.mem_user_data = thread_pool,
                                        .malloc = pool_malloc,
                                        .free = pool_free,
                                        .calloc = pool_calloc,
                                        .realloc = pool_realloc};
  }
  thread_pool->references++;
  return thread_pool;
}

void cng_pool_release(cng_pool *pool) {
  if (--pool->references > 0) return;
  for (uint32_t class = 0; class < class_count; class++) {
    while (pool->free[class] != NULL) {
      free_block *block = pool->free[class];
      pool->free[class] = block->next;
      free((header *)(void *)block - 1);
    }
  }
  if (thread_pool == pool) thread_pool = NULL;
  free(pool);
}

nghttp2_mem *cng_pool_memory(cng_pool *pool) { return &pool->memory; }

cng_spares *cng_pool_spares(cng_pool *pool) { return &pool->spares; }

bool cng_pool_is_last(const cng_pool *pool) { return pool->references == 1; }
