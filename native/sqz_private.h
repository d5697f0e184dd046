/* What the decoder's files share, and nobody else needs. */

#ifndef SQZ_PRIVATE_H
#define SQZ_PRIVATE_H

#include "sqz.h"

/* `>>` of a negative number rounds down, as FORMAT.md has it, with every compiler known; C99 leaves it to them. */
typedef char sqz_shift_rounds_down[(-1 >> 1) == -1 ? 1 : -1];

enum { SQZ_STORED = 0, SQZ_HUFFMAN = 1, SQZ_RANGE = 2, SQZ_ZSTD = 3, SQZ_CONTEXT = 4 };               /* coders */
enum { SQZ_DENSE = 0, SQZ_BITMAP = 1, SQZ_BYTES = 2, SQZ_GAPS = 3, SQZ_LEVELS = 4, SQZ_N_MODES = 5 }; /* position modes */
enum { SQZ_READ_AHEAD = 3 }; /* zero bytes that a range decoder takes after its stream */

#define SQZ_TRY(call)                               \
    do {                                            \
        const sqz_status sqz_try_status = (call);   \
        if (sqz_try_status != SQZ_OK) {             \
            return sqz_try_status;                  \
        }                                           \
    } while (0)

static inline uint32_t sqz_min(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Little-endian integers at any address. */
static inline uint32_t sqz_u16(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }
static inline uint32_t sqz_u32(const uint8_t *p) { return sqz_u16(p) | sqz_u16(p + 2) << 16; }
static inline uint64_t sqz_u64(const uint8_t *p) { return (uint64_t)sqz_u32(p) | (uint64_t)sqz_u32(p + 4) << 32; }

/* A place in fields that follow one another. Nothing is read past the end. */
typedef struct sqz_bytes {
    const uint8_t *next, *end;
} sqz_bytes;

static inline size_t sqz_n_left(const sqz_bytes *bytes) { return (size_t)(bytes->end - bytes->next); }

/* A value of 2^32 - 1 or more comes back as 2^32 - 1: more than any field may be. SQZ_TABLE where the bytes end inside. */
sqz_status sqz_varint(sqz_bytes *bytes, uint32_t *value);

/* ---- sqz_file.c ---- */

typedef struct sqz_block {
    uint32_t n_nonzero; /* 0: an all-zero block, which has no payload */
    uint32_t positions_size, gap_count, codes_size;
    uint32_t payload_crc;
    uint64_t payload_size;
} sqz_block;

/* The next Block_Record of a tensor, of n weights. */
sqz_status sqz_read_block(const sqz_tensor *tensor, uint32_t n, sqz_bytes *bytes, sqz_block *block);
/* Bytes of a stored weight of kinds 0 to 2, 7 and 8, else 0. */
uint32_t sqz_item_size(const sqz_tensor *tensor);
uint32_t sqz_n_codes(const sqz_tensor *tensor);

/* Sorted_Centroids, one after the other: the bits of a binary16. */
typedef struct sqz_sorted {
    sqz_bytes bytes;
    uint32_t n_bits; /* of the byte before `bytes.next`, not taken yet */
    uint32_t key;
    uint32_t order;
} sqz_sorted;

sqz_status sqz_sorted_first(sqz_sorted *sorted, const uint8_t *data, const uint8_t *end, uint32_t *bits);
sqz_status sqz_sorted_next(sqz_sorted *sorted, uint32_t *bits);

/* The bits of a binary16 as those of the binary32 of the same value. */
uint32_t sqz_widen(uint32_t half);
float sqz_float(uint32_t bits);

/* ---- sqz_coders.c: stored, huffman, range ---- */

/* That these bytes are a model of the coder. */
sqz_status sqz_check_model(const sqz_model *model);
/* Bytes of work memory for a model that has been checked. A multiple of 8. */
size_t sqz_coder_memory(const sqz_model *model);
void sqz_coder_open(sqz_coder *coder, const sqz_model *model, uint8_t *memory); /* aligned to 8 */
sqz_status sqz_coder_begin(sqz_coder *coder, const uint8_t *data, uint32_t size, uint32_t n_symbols);
sqz_status sqz_coder_read(sqz_coder *coder, uint16_t *symbols, uint32_t n);
sqz_status sqz_coder_end(const sqz_coder *coder);

/* ---- sqz_context.c ---- */

sqz_status sqz_check_context(const sqz_model *model);
size_t sqz_context_memory(const sqz_tensor *tensor, uint32_t block_size);
void sqz_context_open(struct sqz_context *context, const sqz_tensor *tensor, uint32_t block_size);
sqz_status sqz_context_begin(struct sqz_context *context, const uint8_t *data, uint32_t size);
sqz_status sqz_context_read(struct sqz_context *context, int32_t *levels, uint32_t n);
sqz_status sqz_context_end(const struct sqz_context *context);

/* ---- sqz_hash.c ---- */

/* CRC-32C of more words, each little-endian. */
uint32_t sqz_crc32c_words(uint32_t crc, const uint32_t *words, uint32_t n);

#endif
