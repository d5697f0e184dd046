#include "whole.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE = 512 }; /* weights at a time */

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

sqz_status whole_decode(const uint8_t *data, size_t size, uint64_t max_weights, uint8_t digest[SQZ_SHA256_SIZE]) {
    sqz_file file;
    sqz_tensor tensor;
    sqz_sha256 sha;
    SQZ_TRY(sqz_open(&file, data, size, max_weights));
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

void whole_fix(uint8_t *data, size_t size, uint64_t max_weights) {
    sqz_file file;
    sqz_tensor tensor;
    sqz_sha256 sha;
    const uint64_t header_end = size < 24 ? size : 24 + (uint64_t)sqz_u32(data + 16) + sqz_u32(data + 20);
    if (header_end + 36 > size) {
        return;
    }
    put_u32(data + header_end, sqz_crc32c(0, data, (size_t)header_end));
    if (sqz_open(&file, data, size, max_weights) == SQZ_OK) {
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
