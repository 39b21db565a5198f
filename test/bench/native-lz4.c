// LZ4 of groups of bytes by liblz4, as a peer: built with `gcc -O3 -llz4`. Letters on stdin: `e` encodes all groups of the
// file, `d` decodes them. Answers with the duration in nanoseconds, and the encoded or the plain bytes.
//
// Arguments: the file, the bytes of a group.

#include <lz4.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  FILE *file = fopen(arguments[1], "rb");
  int group = atoi(arguments[2]);
  if (!file || group <= 0) return 1;
  fseek(file, 0, SEEK_END);
  size_t bytes = (size_t)ftell(file);
  rewind(file);
  int bound = LZ4_compressBound(group);
  size_t groups = bytes / (size_t)group;
  char *plain = malloc(bytes), *encoded = malloc(groups * (size_t)bound), *out = malloc((size_t)group);
  int *lengths = malloc(groups * sizeof *lengths);
  if (!plain || !encoded || !out || !lengths || fread(plain, 1, bytes, file) != bytes) return 1;
  for (size_t i = 0; i < groups; i++)
    lengths[i] = LZ4_compress_default(plain + i * group, encoded + i * bound, group, bound);

  for (int letter; (letter = getchar()) != EOF;) {
    int64_t start = now(), total = 0;
    for (size_t i = 0; i < groups; i++) {
      char *block = encoded + i * bound;
      if (letter == 'e') total += lengths[i] = LZ4_compress_default(plain + i * group, block, group, bound);
      else total += LZ4_decompress_safe(block, out, lengths[i], group);
    }
    printf("%lld %lld\n", (long long)(now() - start), (long long)total);
    fflush(stdout);
  }
  return 0;
}
