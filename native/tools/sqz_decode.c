/* sqz-decode: the tensors of a .sqz file, or a .sqzd update applied, on a host.
 *
 *     sqz-decode FILE                     a line a tensor: name, type, shape, SHA-256 of its little-endian values
 *     sqz-decode FILE -o DIR              also writes the values, DIR/NAME.bin; DIR must be there
 *     sqz-decode FILE --time N            decodes N times: milliseconds of processor time, and the work memory
 *     sqz-decode BASE --apply DELTA -o NEW
 *
 * Nothing is printed or written of a file that is refused. Exit code 0, 1 for a file that is not accepted, 2 for wrong usage. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../sqz.h"

enum { PIECE = 4096 }; /* weights at a time */

struct options {
    const char *file, *output, *delta;
    long n_times;
};

/* What went wrong, and where: for the one message. */
struct failure {
    sqz_status status;
    char where[SQZ_MAX_NAME + 1];
};

static int refused(const char *path, const struct failure *failure) {
    fprintf(stderr, "error: %s: %s: %s%s%s\n", path, sqz_status_name(failure->status), failure->where,
            failure->where[0] ? ": " : "", sqz_status_text(failure->status));
    return 1;
}

static int cannot(const char *path, const char *what) {
    fprintf(stderr, "error: %s: cannot be %s\n", path, what);
    return 1;
}

static uint8_t *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    if (file != NULL && fseek(file, 0, SEEK_END) == 0) {
        const long end = ftell(file);
        if (end >= 0 && fseek(file, 0, SEEK_SET) == 0) {
            data = malloc((size_t)end + 1); /* an empty file has an address too */
            *size = (size_t)end;
            if (data != NULL && fread(data, 1, *size, file) != *size) {
                free(data);
                data = NULL;
            }
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    if (data == NULL) {
        cannot(path, "read");
    }
    return data;
}

/* n values as little-endian bytes, 4 each. */
static void little_endian(const float *values, size_t n, uint8_t *bytes) {
    for (size_t i = 0; i < n; ++i) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        for (unsigned k = 0; k < 4; ++k) {
            bytes[4 * i + k] = (uint8_t)(bits >> 8 * k);
        }
    }
}

/* Decodes a tensor. Its bytes go into `sha` and `out`, where these are not NULL. -1: `out` could not be written. */
static int decode(const sqz_file *file, const sqz_tensor *tensor, void *memory, sqz_sha256 *sha, FILE *out, struct failure *failure) {
    static float weights[PIECE];
    static uint8_t bytes[8 * PIECE];
    sqz_stream stream;
    const size_t item_size = tensor->kind == SQZ_RAW_I64 ? 8 : 4;
    snprintf(failure->where, sizeof failure->where, "%s", tensor->name);
    failure->status = sqz_begin(&stream, file, tensor, memory, sqz_required_memory(file, NULL));
    for (size_t done = 0; failure->status == SQZ_OK && done < tensor->n_weights; done += PIECE) {
        const size_t n = tensor->n_weights - done < PIECE ? tensor->n_weights - done : PIECE;
        failure->status = item_size == 8 ? sqz_read_raw(&stream, bytes, n) : sqz_read(&stream, weights, n);
        if (failure->status != SQZ_OK || (sha == NULL && out == NULL)) {
            continue;
        }
        if (item_size == 4) {
            little_endian(weights, n, bytes);
        }
        if (sha != NULL) {
            sqz_sha256_update(sha, bytes, n * item_size);
        }
        if (out != NULL && fwrite(bytes, item_size, n, out) != n) {
            return -1;
        }
    }
    if (failure->status == SQZ_OK) {
        failure->status = sqz_end(&stream);
    }
    if (failure->status == SQZ_OK) {
        failure->where[0] = 0;
    }
    return 0;
}

/* Every check, and each tensor's SHA-256 into `digests`, unless that is NULL. */
static sqz_status decode_all(const sqz_file *file, void *memory, uint8_t (*digests)[SQZ_SHA256_SIZE], struct failure *failure) {
    sqz_tensor tensor;
    for (sqz_status more = sqz_first(file, &tensor); more == SQZ_OK; more = sqz_next(file, &tensor)) {
        sqz_sha256 sha;
        sqz_sha256_begin(&sha);
        decode(file, &tensor, memory, digests != NULL ? &sha : NULL, NULL, failure);
        if (failure->status != SQZ_OK) {
            return failure->status;
        }
        if (digests != NULL) {
            sqz_sha256_end(&sha, digests[tensor.number]);
        }
    }
    return failure->status = sqz_verify(file);
}

static void print_tensor(const sqz_tensor *tensor, const uint8_t digest[SQZ_SHA256_SIZE]) {
    printf("%s %s [", tensor->name, tensor->kind == SQZ_RAW_I64 ? "int64" : "float32");
    for (unsigned i = 0; i < tensor->n_dims; ++i) {
        printf("%s%lu", i > 0 ? ", " : "", (unsigned long)tensor->dims[i]);
    }
    printf("] ");
    for (unsigned i = 0; i < SQZ_SHA256_SIZE; ++i) {
        printf("%02x", digest[i]);
    }
    printf("\n");
}

static int write_tensor(const sqz_file *file, const sqz_tensor *tensor, void *memory, const char *folder) {
    const size_t size = strlen(folder) + strlen(tensor->name) + 6;
    char *path = malloc(size);
    struct failure failure = {SQZ_OK, ""};
    int written = 0;
    if (path == NULL) {
        return cannot(folder, "written");
    }
    snprintf(path, size, "%s/%s.bin", folder, tensor->name);
    FILE *out = fopen(path, "wb");
    if (out != NULL) {
        written = decode(file, tensor, memory, NULL, out, &failure) == 0 && failure.status == SQZ_OK;
        written = fclose(out) == 0 && written;
    }
    if (!written) {
        cannot(path, "written");
    }
    free(path);
    return written ? 0 : 1;
}

static int output(const sqz_file *file, void *memory, uint8_t (*digests)[SQZ_SHA256_SIZE], const char *folder) {
    sqz_tensor tensor;
    for (sqz_status more = sqz_first(file, &tensor); more == SQZ_OK; more = sqz_next(file, &tensor)) {
        if (folder != NULL && write_tensor(file, &tensor, memory, folder) != 0) {
            return 1;
        }
        print_tensor(&tensor, digests[tensor.number]);
    }
    return 0;
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int time_all(const uint8_t *data, size_t size, void *memory, long n_times) {
    double *const times = malloc((size_t)n_times * sizeof *times);
    struct failure failure = {SQZ_OK, ""};
    sqz_file file;
    if (times == NULL) {
        return 1;
    }
    for (long i = 0; i < n_times; ++i) {
        const clock_t start = clock();
        sqz_open(&file, data, size, 0);
        decode_all(&file, memory, NULL, &failure);
        times[i] = 1000.0 * (double)(clock() - start) / CLOCKS_PER_SEC;
    }
    qsort(times, (size_t)n_times, sizeof *times, compare_doubles);
    printf("%lu weights, %lu bytes of work memory, %.1f ms (the least of %ld; median %.1f)\n", (unsigned long)file.n_weights,
           (unsigned long)sqz_required_memory(&file, NULL), times[0], n_times, times[n_times / 2]);
    free(times);
    return 0;
}

static int run_decode(const struct options *options) {
    size_t size = 0;
    sqz_file file;
    struct failure failure = {SQZ_OK, ""};
    int code = 1;
    uint8_t *const data = read_file(options->file, &size);
    if (data == NULL) {
        return 1;
    }
    failure.status = sqz_open(&file, data, size, 0);
    if (failure.status == SQZ_OK) {
        failure.status = sqz_check_metadata(file.metadata, file.metadata_size);
    }
    if (failure.status == SQZ_OK) {
        void *const memory = malloc(sqz_required_memory(&file, NULL) + 1);
        uint8_t(*const digests)[SQZ_SHA256_SIZE] = malloc(file.n_tensors * sizeof *digests);
        if (memory == NULL || digests == NULL) {
            failure.status = SQZ_MEMORY;
        } else if (decode_all(&file, memory, digests, &failure) == SQZ_OK) {
            code = options->n_times > 0 ? time_all(data, size, memory, options->n_times)
                                        : output(&file, memory, digests, options->output);
        }
        free(memory);
        free(digests);
    }
    free(data);
    return failure.status == SQZ_OK ? code : refused(options->file, &failure);
}

static int write_to_file(void *user, const void *data, size_t size) { return fwrite(data, 1, size, user) == size ? 0 : -1; }

/* Into a sibling that gets NEW's name once its SHA-256 is found right. */
static int write_new(const struct options *options, const sqz_delta *delta, const uint8_t *base, size_t base_size) {
    const size_t size = strlen(options->output) + 6;
    char *const path = malloc(size);
    struct failure failure = {SQZ_WRITE, ""};
    int code = 1;
    if (path == NULL) {
        return cannot(options->output, "written");
    }
    snprintf(path, size, "%s.part", options->output);
    FILE *out = fopen(path, "wb");
    if (out != NULL) {
        failure.status = sqz_delta_apply(delta, base, base_size, write_to_file, out);
        if (fclose(out) != 0 && failure.status == SQZ_OK) {
            failure.status = SQZ_WRITE;
        }
    }
    if (failure.status == SQZ_OK && rename(path, options->output) == 0) {
        code = 0;
    } else if (failure.status == SQZ_WRITE || failure.status == SQZ_OK) {
        cannot(options->output, "written");
        remove(path);
    } else {
        refused(options->delta, &failure);
        remove(path);
    }
    free(path);
    return code;
}

static int run_apply(const struct options *options) {
    size_t base_size = 0, delta_size = 0;
    sqz_delta delta;
    int code = 1;
    uint8_t *const base = read_file(options->file, &base_size);
    uint8_t *const update = base != NULL ? read_file(options->delta, &delta_size) : NULL;
    if (update != NULL) {
        const struct failure failure = {sqz_delta_open(&delta, update, delta_size, 0), ""};
        code = failure.status == SQZ_OK ? write_new(options, &delta, base, base_size) : refused(options->delta, &failure);
    }
    free(base);
    free(update);
    return code;
}

static int usage(void) {
    fprintf(stderr, "usage: sqz-decode FILE [-o DIR | --time N]\n       sqz-decode BASE --apply DELTA -o NEW\n");
    return 2;
}

int main(int argc, char **argv) {
    struct options options = {NULL, NULL, NULL, 0};
    for (int i = 1; i < argc; ++i) {
        const int has_value = i + 1 < argc;
        if (strcmp(argv[i], "-o") == 0 && has_value) {
            options.output = argv[++i];
        } else if (strcmp(argv[i], "--apply") == 0 && has_value) {
            options.delta = argv[++i];
        } else if (strcmp(argv[i], "--time") == 0 && has_value) {
            options.n_times = strtol(argv[++i], NULL, 10);
            if (options.n_times < 1 || options.n_times > 1000000) {
                return usage();
            }
        } else if (argv[i][0] != '-' && options.file == NULL) {
            options.file = argv[i];
        } else {
            return usage();
        }
    }
    if (options.file == NULL || (options.delta != NULL && options.output == NULL) ||
        (options.n_times > 0 && (options.output != NULL || options.delta != NULL))) {
        return usage();
    }
    const int code = options.delta != NULL ? run_apply(&options) : run_decode(&options);
    return fflush(stdout) == 0 ? code : cannot("stdout", "written");
}
