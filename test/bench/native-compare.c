// memcmp per page, as a peer: built by native.ts with `gcc -O3`, one measurement for each byte on stdin.
//
// The data is that of p1.ts: word `i` of both sides is `i * 2654435761`; the file named by the argument lists byte
// offsets as 32-bit integers, and those bytes differ. Answers each byte read with the duration in nanoseconds.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAGE_BYTES = 4096 };

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  size_t bytes = strtoull(arguments[1], 0, 10);
  uint8_t *a = aligned_alloc(PAGE_BYTES, bytes), *b = aligned_alloc(PAGE_BYTES, bytes);
  uint8_t *bits = calloc(bytes / PAGE_BYTES / 8, 1);
  FILE *offsets = fopen(arguments[2], "rb");
  if (!a || !b || !bits || !offsets) return 1;
  for (size_t i = 0; i < bytes / 4; i++) ((uint32_t *)a)[i] = (uint32_t)i * 2654435761u;
  memcpy(b, a, bytes);
  for (uint32_t offset; fread(&offset, 4, 1, offsets) == 1;) b[offset] ^= 1;

  while (getchar() != EOF) {
    int64_t start = now();
    unsigned different = 0;
    for (size_t page = 0; page < bytes / PAGE_BYTES; page++) {
      unsigned differs = memcmp(a + page * PAGE_BYTES, b + page * PAGE_BYTES, PAGE_BYTES) != 0;
      bits[page >> 3] = (uint8_t)((bits[page >> 3] & ~(1u << (page & 7))) | differs << (page & 7));
      different += differs;
    }
    int64_t duration = now() - start;
    printf("%lld %u\n", (long long)duration, different);
    fflush(stdout);
  }
  return 0;
}
