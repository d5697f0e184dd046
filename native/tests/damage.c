/* .sqz files are damaged and decoded in memory.
 *
 *     damage flips N SEED FILE...    1 to 3 bytes are changed, N times in all; what is accepted must have the very tensors of the file
 *     damage fixed N SEED FILE...    the same with checksums made right again; all that is asked is that the decoder comes back
 *     damage cut FILE...             every shorter file; none may be accepted
 *
 * Prints how many were refused and how many accepted. Exit code 1: one was accepted that must not be; 2: wrong usage. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "whole.h"

enum { MAX_SIZE = 1 << 20, MAX_WEIGHTS = 1 << 21 };

typedef struct original {
    uint8_t *data;
    size_t size;
    uint8_t digest[SQZ_SHA256_SIZE];
} original;

typedef struct tally {
    long refused, same, other;
} tally;

static uint64_t state;

static uint32_t below(uint32_t n) { /* xorshift64* */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * 2685821657736338717u) >> 32) % n;
}

static int read_file(original *file, const char *path) {
    FILE *const stream = fopen(path, "rb");
    file->data = malloc(MAX_SIZE);
    if (stream == NULL || file->data == NULL) {
        return -1;
    }
    file->size = fread(file->data, 1, MAX_SIZE, stream);
    fclose(stream);
    return whole_decode(file->data, file->size, MAX_WEIGHTS, file->digest) == SQZ_OK ? 0 : -1;
}

static void decode(const original *file, const uint8_t *data, size_t size, tally *counts) {
    uint8_t digest[SQZ_SHA256_SIZE];
    if (whole_decode(data, size, MAX_WEIGHTS, digest) != SQZ_OK) {
        ++counts->refused;
    } else if (memcmp(digest, file->digest, SQZ_SHA256_SIZE) == 0) {
        ++counts->same;
    } else {
        ++counts->other;
    }
}

/* Of as many bytes as there are, so that a sanitizer sees one that is read behind them. */
static uint8_t *copy_of(const uint8_t *data, size_t size) {
    uint8_t *const copy = malloc(size > 0 ? size : 1);
    if (copy == NULL) {
        exit(2);
    }
    memcpy(copy, data, size);
    return copy;
}

static void flip(const original *file, long n, int fix, tally *counts) {
    for (long i = 0; i < n; ++i) {
        uint8_t *const data = copy_of(file->data, file->size);
        for (uint32_t flips = 1 + below(3); flips > 0; --flips) {
            data[below((uint32_t)file->size)] ^= (uint8_t)(1 + below(255));
        }
        if (fix) {
            whole_fix(data, file->size, MAX_WEIGHTS);
        }
        decode(file, data, file->size, counts);
        free(data);
    }
}

static void cut(const original *file, tally *counts) {
    for (size_t size = 0; size < file->size; ++size) {
        uint8_t *const data = copy_of(file->data, size);
        decode(file, data, size, counts);
        free(data);
    }
}

int main(int argc, char **argv) {
    const char *const how = argc > 1 ? argv[1] : "";
    const int cuts = strcmp(how, "cut") == 0, fix = strcmp(how, "fixed") == 0;
    char **const paths = argv + (cuts ? 2 : 4);
    const long n_files = argc - (cuts ? 2 : 4);
    if (n_files < 1 || !(cuts || fix || strcmp(how, "flips") == 0)) {
        fputs("usage: damage flips|fixed N SEED FILE..., damage cut FILE...\n", stderr);
        return 2;
    }
    const long n = cuts ? 0 : strtol(argv[2], NULL, 10);
    state = cuts ? 1 : strtoull(argv[3], NULL, 10) * 2 + 1;
    tally counts = {0, 0, 0};
    for (long f = 0; f < n_files; ++f) {
        original file;
        if (read_file(&file, paths[f]) != 0) {
            fprintf(stderr, "%s cannot be decoded as it is\n", paths[f]);
            return 2;
        }
        if (cuts) {
            cut(&file, &counts);
        } else {
            flip(&file, n * (f + 1) / n_files - n * f / n_files, fix, &counts);
        }
        free(file.data);
    }
    printf("%ld refused, %ld accepted with the same tensors, %ld with others\n", counts.refused, counts.same, counts.other);
    return (cuts ? counts.same + counts.other : fix ? 0 : counts.other) > 0 ? 1 : 0;
}
