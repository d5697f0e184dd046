/* libFuzzer on a .sqzd update and its base, one after the other: the update's own Delta_Size says where the base begins. Half of the
 * mutations have sizes, checksums and Base_SHA256 made right again.
 *
 *     fuzz_delta CORPUS -runs=2000000 */

#include <stdlib.h>
#include <string.h>

#include "../sqz_private.h"

enum { HEADER_SIZE = 96, BODY_OFFSET = 100, CRC_SIZE = 4, MAX_NEW = 1 << 16 };

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(uint8_t *at, uint64_t value, unsigned n) {
    for (unsigned i = 0; i < n; ++i) {
        at[i] = (uint8_t)(value >> 8 * i);
    }
}

/* Bytes of the update: what it says of itself, or all. */
static size_t delta_size(const uint8_t *data, size_t size) {
    const uint64_t said = size >= 16 ? sqz_u64(data + 8) : size;
    return said < size ? (size_t)said : size;
}

static void sha256(const uint8_t *data, size_t size, uint8_t *digest) {
    sqz_sha256 sha;
    sqz_sha256_begin(&sha);
    sqz_sha256_update(&sha, data, size);
    sqz_sha256_end(&sha, digest);
}

static void fix(uint8_t *data, size_t size) {
    const size_t n = delta_size(data, size);
    if (n < BODY_OFFSET + CRC_SIZE) {
        return;
    }
    put(data + 8, n, 8);
    put(data + 16, size - n, 8);
    sha256(data + n, size - n, data + 32);
    put(data + HEADER_SIZE, sqz_crc32c(0, data, HEADER_SIZE), CRC_SIZE);
    put(data + n - CRC_SIZE, sqz_crc32c(0, data + BODY_OFFSET, n - CRC_SIZE - BODY_OFFSET), CRC_SIZE);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    size = LLVMFuzzerMutate(data, size, max_size);
    if (seed & 1) {
        fix(data, size);
    }
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t new_data[MAX_NEW];
    const size_t n = delta_size(data, size);
    size_t new_size = MAX_NEW;
    uint8_t digest[SQZ_SHA256_SIZE];
    if (sqz_apply_delta(data + n, size - n, data, n, new_data, &new_size) == SQZ_OK) {
        sha256(new_data, new_size, digest);
        if (memcmp(digest, data + 64, SQZ_SHA256_SIZE) != 0) {
            abort(); /* accepted, and not what the update promised */
        }
    }
    return 0;
}
