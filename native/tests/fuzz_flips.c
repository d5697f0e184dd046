/* Bytes of .sqz files are changed, a few at a time, and the files decoded in memory.
 *
 *     fuzz_flips N SEED FILE...          what is accepted must have the very tensors of the file as it was
 *     fuzz_flips --fix N SEED FILE...    the checksums of the stored bytes are made right again, so the damage gets further in;
 *                                        all that is asked of the decoder is to come back
 *
 * Prints how many were refused and how many accepted. Exit code 1: one was accepted that decodes to something else. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sqz_private.h"

enum { PIECE = 512, MAX_SIZE = 1 << 20 };

static uint64_t state;

static uint32_t below(uint32_t n) { /* xorshift64* */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * 2685821657736338717u) >> 32) % n;
}

static sqz_status decode_tensor(const sqz_file *file, const sqz_tensor *tensor, sqz_sha256 *sha) {
    const size_t memory_size = sqz_required_memory(file, tensor);
    uint8_t *const memory = malloc(memory_size + 1); /* of exactly that size but one, so that a sanitizer sees a byte too far */
    uint8_t values[8 * PIECE];
    float weights[PIECE];
    sqz_stream stream;
    if (memory == NULL) {
        return SQZ_MEMORY;
    }
    sqz_status status = sqz_begin(&stream, file, tensor, memory, memory_size);
    for (size_t done = 0; status == SQZ_OK && done < tensor->n_weights; done += PIECE) {
        const size_t n = tensor->n_weights - done < PIECE ? tensor->n_weights - done : PIECE;
        if (tensor->kind == SQZ_RAW_I64) {
            status = sqz_read_raw(&stream, values, n);
            sqz_sha256_update(sha, values, 8 * n);
        } else {
            status = sqz_read(&stream, weights, n);
            sqz_sha256_update(sha, weights, n * sizeof *weights);
        }
    }
    free(memory);
    return status == SQZ_OK ? sqz_end(&stream) : status;
}

/* All checks but File_SHA256, as of a device that streams blocks; and a digest of names, shapes and values. */
static sqz_status decode(const uint8_t *data, size_t size, uint8_t digest[SQZ_SHA256_SIZE]) {
    sqz_file file;
    sqz_tensor tensor;
    sqz_sha256 sha;
    SQZ_TRY(sqz_open(&file, data, size, 1 << 20));
    SQZ_TRY(sqz_check_metadata(file.metadata, file.metadata_size));
    sqz_sha256_begin(&sha);
    sqz_status more = sqz_first(&file, &tensor);
    for (; more == SQZ_OK; more = sqz_next(&file, &tensor)) {
        sqz_sha256_update(&sha, tensor.name, strlen(tensor.name) + 1);
        sqz_sha256_update(&sha, tensor.dims, sizeof tensor.dims);
        SQZ_TRY(decode_tensor(&file, &tensor, &sha));
    }
    sqz_sha256_end(&sha, digest);
    return more == SQZ_NOT_FOUND ? SQZ_OK : more;
}

static void put_u32(uint8_t *at, uint32_t value) {
    for (unsigned i = 0; i < 4; ++i) {
        at[i] = (uint8_t)(value >> 8 * i);
    }
}

/* Header_CRC, each Payload_CRC, File_SHA256; as far as the file can be parsed. */
static void fix_checksums(uint8_t *data, size_t size) {
    sqz_file file;
    sqz_tensor tensor;
    sqz_sha256 sha;
    const uint64_t header_end = size < 24 ? size : 24 + (uint64_t)sqz_u32(data + 16) + sqz_u32(data + 20);
    if (header_end + 36 > size) {
        return;
    }
    put_u32(data + header_end, sqz_crc32c(0, data, (size_t)header_end));
    if (sqz_open(&file, data, size, 1 << 20) == SQZ_OK) {
        for (sqz_status more = sqz_first(&file, &tensor); more == SQZ_OK; more = sqz_next(&file, &tensor)) {
            sqz_bytes bytes = {tensor.blocks, tensor.end};
            const uint8_t *payload = tensor.payload;
            for (uint32_t done = 0; done < tensor.n_weights; done += 1u << file.block_log) {
                sqz_block block;
                sqz_read_block(&tensor, sqz_min(tensor.n_weights - done, 1u << file.block_log), &bytes, &block);
                if (block.n_nonzero > 0) {
                    put_u32(data + (bytes.next - data) - 4, sqz_crc32c(0, payload, (size_t)block.payload_size));
                }
                payload += block.payload_size;
            }
        }
        put_u32(data + header_end, sqz_crc32c(0, data, (size_t)header_end));
    }
    sqz_sha256_begin(&sha);
    sqz_sha256_update(&sha, data, size - SQZ_SHA256_SIZE);
    sqz_sha256_end(&sha, data + size - SQZ_SHA256_SIZE);
}

int main(int argc, char **argv) {
    static uint8_t original[MAX_SIZE];
    const int fix = argc > 1 && strcmp(argv[1], "--fix") == 0;
    if (argc < 4 + fix) {
        return 2;
    }
    const long n = strtol(argv[1 + fix], NULL, 10);
    char **const files = argv + 3 + fix;
    const long n_files = argc - 3 - fix;
    long n_refused = 0, n_same = 0, n_other = 0, n_done = 0;
    state = strtoull(argv[2 + fix], NULL, 10) * 2 + 1;
    for (long f = 0; f < n_files; ++f) {
        uint8_t right[SQZ_SHA256_SIZE], digest[SQZ_SHA256_SIZE];
        FILE *const file = fopen(files[f], "rb");
        const size_t size = file != NULL ? fread(original, 1, MAX_SIZE, file) : 0;
        uint8_t *const data = malloc(size + 1);
        if (file == NULL || data == NULL || decode(original, size, right) != SQZ_OK) {
            fprintf(stderr, "%s cannot be decoded as it is\n", files[f]);
            return 2;
        }
        fclose(file);
        for (; n_done < n * (f + 1) / n_files; ++n_done) {
            memcpy(data, original, size);
            for (uint32_t flips = 1 + below(3); flips > 0; --flips) {
                data[below((uint32_t)size)] ^= (uint8_t)(1 + below(255));
            }
            if (fix) {
                fix_checksums(data, size);
            }
            if (decode(data, size, digest) != SQZ_OK) {
                ++n_refused;
            } else if (memcmp(digest, right, SQZ_SHA256_SIZE) == 0) {
                ++n_same;
            } else {
                ++n_other;
            }
        }
        free(data);
    }
    printf("%ld refused, %ld accepted with the same tensors, %ld with others\n", n_refused, n_same, n_other);
    return n_other > 0 && !fix ? 1 : 0;
}
