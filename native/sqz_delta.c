/* Updates: DELTA.md, block form. Copies of ranges of the base and literal bytes make NEW, from front to back. */

#include <string.h>

#include "sqz_private.h"

enum { HEADER_SIZE = 96, BODY_OFFSET = 100, CRC_SIZE = 4 };
#define MAX_FILE_SIZE ((uint64_t)1 << 34)

static sqz_status check_fields(sqz_delta *delta, uint64_t max_new_size) {
    const uint8_t *const data = delta->data;
    if (data[5] > 1 || sqz_u16(data + 6) != 0) {
        return SQZ_DELTA_HEADER;
    }
    if (sqz_u64(data + 8) != delta->size) {
        return SQZ_DELTA_SIZE;
    }
    delta->base_size = sqz_u64(data + 16);
    delta->new_size = sqz_u64(data + 24);
    delta->base_sha256 = data + 32;
    delta->new_sha256 = data + 64;
    if (delta->base_size == 0 || delta->new_size == 0) {
        return SQZ_DELTA_HEADER;
    }
    if (delta->base_size >= MAX_FILE_SIZE || delta->new_size > (max_new_size == 0 ? SQZ_MAX_NEW_SIZE : max_new_size)) {
        return SQZ_DELTA_LIMIT;
    }
    return data[5] == 0 ? SQZ_OK : SQZ_DELTA_FORM;
}

sqz_status sqz_delta_open(sqz_delta *delta, const void *data, size_t size, uint64_t max_new_size) {
    static const uint8_t magic[4] = {0x53, 0x51, 0x44, 0x1a};
    const uint8_t *const bytes = data;
    memset(delta, 0, sizeof *delta);
    delta->data = bytes;
    delta->size = size;
    if (size == 0 || memcmp(bytes, magic, size < 4 ? size : 4) != 0) {
        return SQZ_NOT_DELTA;
    }
    if (size > 4 && bytes[4] != 1) {
        return SQZ_DELTA_VERSION;
    }
    if (size < BODY_OFFSET + CRC_SIZE) {
        return SQZ_DELTA_SIZE;
    }
    if (sqz_crc32c(0, bytes, HEADER_SIZE) != sqz_u32(bytes + HEADER_SIZE)) {
        return SQZ_DELTA_HEADER_CRC;
    }
    SQZ_TRY(check_fields(delta, max_new_size));
    const size_t end = size - CRC_SIZE;
    return sqz_crc32c(0, bytes + BODY_OFFSET, end - BODY_OFFSET) == sqz_u32(bytes + end) ? SQZ_OK : SQZ_DELTA_BODY_CRC;
}

static int has_sha256(const uint8_t *data, size_t size, const uint8_t *expected) {
    uint8_t digest[SQZ_SHA256_SIZE];
    sqz_sha256 sha;
    sqz_sha256_begin(&sha);
    sqz_sha256_update(&sha, data, size);
    sqz_sha256_end(&sha, digest);
    return memcmp(digest, expected, SQZ_SHA256_SIZE) == 0;
}

/* A length or an offset: of 35 bits, so that a copy from 2^32 and on is possible. */
static sqz_status take_varint(sqz_bytes *bytes, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; shift < 35 && bytes->next < bytes->end; shift += 7) {
        const uint32_t byte = *bytes->next++;
        *value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            return byte == 0 && shift > 0 ? SQZ_VARINT : SQZ_OK;
        }
        if (shift == 28) {
            return SQZ_VARINT;
        }
    }
    return SQZ_DELTA_INSTRUCTION; /* the body ends inside */
}

/* One instruction: `length` bytes of NEW from `from`. */
static sqz_status take_instruction(const sqz_delta *delta, const uint8_t *base, sqz_bytes *bytes, uint64_t n_left,
                                   const uint8_t **from, size_t *length) {
    uint64_t head, offset;
    SQZ_TRY(take_varint(bytes, &head));
    const uint64_t n = head >> 1;
    if (n == 0 || n > n_left) {
        return SQZ_DELTA_INSTRUCTION;
    }
    if (head & 1) {
        SQZ_TRY(take_varint(bytes, &offset));
        if (offset + n > delta->base_size) {
            return SQZ_DELTA_INSTRUCTION;
        }
        *from = base + (size_t)offset;
    } else {
        if (n > sqz_n_left(bytes)) {
            return SQZ_DELTA_INSTRUCTION;
        }
        *from = bytes->next;
        bytes->next += (size_t)n;
    }
    *length = (size_t)n;
    return SQZ_OK;
}

sqz_status sqz_delta_apply(const sqz_delta *delta, const void *base, size_t base_size, sqz_write write, void *user) {
    sqz_bytes bytes = {delta->data + BODY_OFFSET, delta->data + delta->size - CRC_SIZE};
    uint64_t n_left = delta->new_size;
    uint8_t digest[SQZ_SHA256_SIZE];
    sqz_sha256 sha;
    if (!has_sha256(base, base_size, delta->base_sha256)) {
        return SQZ_DELTA_BASE;
    }
    if (base_size != delta->base_size) {
        return SQZ_DELTA_HEADER;
    }
    sqz_sha256_begin(&sha);
    while (bytes.next < bytes.end) {
        const uint8_t *from;
        size_t length;
        SQZ_TRY(take_instruction(delta, base, &bytes, n_left, &from, &length));
        if (write(user, from, length) != 0) {
            return SQZ_WRITE;
        }
        sqz_sha256_update(&sha, from, length);
        n_left -= length;
    }
    if (n_left > 0) {
        return SQZ_DELTA_INSTRUCTION;
    }
    sqz_sha256_end(&sha, digest);
    return memcmp(digest, delta->new_sha256, SQZ_SHA256_SIZE) == 0 ? SQZ_OK : SQZ_DELTA_NEW;
}

/* ---- Into a buffer ---- */

typedef struct buffer {
    uint8_t *next;
    size_t n_left;
} buffer;

static int append(void *user, const void *data, size_t size) {
    buffer *const to = user;
    if (size > to->n_left) {
        return -1;
    }
    memcpy(to->next, data, size);
    to->next += size;
    to->n_left -= size;
    return 0;
}

sqz_status sqz_apply_delta(const void *base, size_t base_size, const void *delta, size_t delta_size, void *new_data,
                           size_t *new_size) {
    sqz_delta opened;
    buffer to = {new_data, *new_size};
    SQZ_TRY(sqz_delta_open(&opened, delta, delta_size, 0));
    if (opened.new_size > *new_size) {
        return SQZ_MEMORY;
    }
    SQZ_TRY(sqz_delta_apply(&opened, base, base_size, append, &to));
    *new_size = (size_t)opened.new_size;
    return SQZ_OK;
}
