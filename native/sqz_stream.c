/* A tensor's weights as a stream: FORMAT.md, "Payloads" and "Values". Positions and codes advance together, a few weights at a time,
 * so that no block is ever whole in memory. */

#include <string.h>

#include "sqz_private.h"

enum {
    AT_A_TIME = 64, /* weights: what is on the stack */
    NOT_LAST = 15   /* gaps: 15 zeros and no weight */
};

/* ---- Memory ---- */

static size_t centroids_memory(const sqz_tensor *tensor) { return (tensor->n_centroids * sizeof(uint16_t) + 7) & ~(size_t)7; }

/* The same parts as sqz_begin carves, each a multiple of 8 bytes. */
static size_t memory_of(const sqz_file *file, const sqz_tensor *tensor) {
    size_t size = 0;
    if (tensor->position_mode == SQZ_LEVELS) {
        size = sqz_context_memory(tensor, (uint32_t)1 << file->block_log);
    } else if (tensor->positions.alphabet > 0) {
        size = sqz_coder_memory(&tensor->positions);
    }
    if (tensor->codes.alphabet > 0) {
        size += sqz_coder_memory(&tensor->codes);
    }
    if (tensor->kind == SQZ_SORTED_F16) {
        size += centroids_memory(tensor);
    }
    return size;
}

size_t sqz_required_memory(const sqz_file *file, const sqz_tensor *tensor) {
    if (tensor == NULL) {
        return file->required_memory;
    }
    const size_t size = memory_of(file, tensor);
    return size > 0 ? size + 7 : 0; /* its beginning may have to move to a multiple of 8 */
}

static sqz_status open_sorted(uint16_t *centroids, const sqz_tensor *tensor) {
    sqz_sorted sorted;
    uint32_t bits;
    SQZ_TRY(sqz_sorted_first(&sorted, tensor->centroids, tensor->end, &bits));
    centroids[0] = (uint16_t)bits;
    for (uint32_t i = 1; i < tensor->n_centroids; ++i) {
        SQZ_TRY(sqz_sorted_next(&sorted, &bits));
        centroids[i] = (uint16_t)bits;
    }
    return SQZ_OK;
}

/* The next part of the work memory, or NULL for no bytes. */
static void *carve(uint8_t **next, size_t size) {
    uint8_t *const part = *next;
    if (size == 0) {
        return NULL;
    }
    *next += size;
    return part;
}

sqz_status sqz_begin(sqz_stream *stream, const sqz_file *file, const sqz_tensor *tensor, void *memory, size_t memory_size) {
    const size_t size = memory_of(file, tensor), skipped = size > 0 ? (size_t)(-(uintptr_t)memory & 7) : 0;
    const uint32_t block_size = (uint32_t)1 << file->block_log;
    memset(stream, 0, sizeof *stream);
    stream->status = SQZ_MEMORY;
    if (memory_size < skipped || memory_size - skipped < size) {
        return SQZ_MEMORY;
    }
    uint8_t *next = size > 0 ? (uint8_t *)memory + skipped : NULL;
    stream->status = SQZ_OK;
    stream->file = file;
    stream->tensor = tensor;
    stream->n_left = tensor->n_weights;
    stream->block = tensor->blocks;
    stream->payload = tensor->payload;
    if (tensor->position_mode == SQZ_LEVELS) {
        stream->context = carve(&next, sqz_context_memory(tensor, block_size));
        sqz_context_open(stream->context, tensor, block_size);
    } else if (tensor->positions.alphabet > 0) {
        sqz_coder_open(&stream->positions, &tensor->positions, carve(&next, sqz_coder_memory(&tensor->positions)));
    }
    if (tensor->codes.alphabet > 0) {
        sqz_coder_open(&stream->codes, &tensor->codes, carve(&next, sqz_coder_memory(&tensor->codes)));
    }
    if (tensor->kind == SQZ_SORTED_F16) {
        stream->sorted = carve(&next, centroids_memory(tensor));
        stream->status = open_sorted(stream->sorted, tensor);
    }
    return stream->status;
}

/* ---- A block ---- */

static uint32_t n_position_symbols(uint32_t mode, const sqz_block *block, uint32_t n) {
    return mode == SQZ_BITMAP ? n : mode == SQZ_BYTES ? (n + 7) / 8 : block->gap_count;
}

static sqz_status begin_block(sqz_stream *s) {
    const sqz_tensor *tensor = s->tensor;
    sqz_bytes bytes = {s->block, tensor->end};
    sqz_block block;
    const uint32_t n = sqz_min(s->n_left, (uint32_t)1 << s->file->block_log);
    const uint8_t *payload = s->payload;
    SQZ_TRY(sqz_read_block(tensor, n, &bytes, &block));
    s->block = bytes.next;
    s->payload += block.payload_size;
    s->n_block_left = n;
    s->n_nonzero_left = block.n_nonzero;
    s->n_gaps_left = block.gap_count;
    s->all_zero = block.n_nonzero == 0;
    s->run = s->in_run = 0;
    s->n_bits = s->bits = 0;
    if (s->all_zero) {
        return SQZ_OK;
    }
    if (sqz_crc32c(0, payload, (size_t)block.payload_size) != block.payload_crc) {
        return SQZ_PAYLOAD_CRC;
    }
    if (s->context != NULL) {
        return sqz_context_begin(s->context, payload, block.positions_size);
    }
    if (tensor->positions.alphabet > 0) {
        const uint32_t n_symbols = n_position_symbols(tensor->position_mode, &block, n);
        SQZ_TRY(sqz_coder_begin(&s->positions, payload, block.positions_size, n_symbols));
        payload += block.positions_size;
    }
    s->values = payload;
    return tensor->codes.alphabet > 0 ? sqz_coder_begin(&s->codes, payload, block.codes_size, block.n_nonzero) : SQZ_OK;
}

static sqz_status end_block(const sqz_stream *s) {
    const sqz_tensor *tensor = s->tensor;
    if (s->all_zero || tensor->kind <= SQZ_RAW_I64) {
        return SQZ_OK;
    }
    if (s->n_nonzero_left > 0 || s->n_gaps_left > 0 || s->bits > 0) {
        return SQZ_STREAM;
    }
    if (s->context != NULL) {
        return sqz_context_end(s->context);
    }
    if (tensor->positions.alphabet > 0) {
        SQZ_TRY(sqz_coder_end(&s->positions));
    }
    return tensor->codes.alphabet > 0 ? sqz_coder_end(&s->codes) : SQZ_OK;
}

/* ---- Positions: of the next n weights, 1 where one is not zero ---- */

static sqz_status read_bytes(sqz_stream *s, uint16_t *mask, uint32_t n) {
    for (uint32_t i = 0; i < n; ++i) {
        if (s->n_bits == 0) {
            uint16_t symbol;
            SQZ_TRY(sqz_coder_read(&s->positions, &symbol, 1));
            s->bits = symbol;
            s->n_bits = 8;
        }
        mask[i] = s->bits & 1;
        s->bits >>= 1;
        --s->n_bits;
    }
    return SQZ_OK;
}

/* The next run of zeros, which must leave room for its weight: n_left weights of the block are not read yet. */
static sqz_status read_run(sqz_stream *s, uint32_t n_left) {
    uint16_t symbol;
    s->run = 0;
    do {
        if (s->n_gaps_left == 0) {
            return SQZ_STREAM; /* a 15 was the last */
        }
        --s->n_gaps_left;
        SQZ_TRY(sqz_coder_read(&s->positions, &symbol, 1));
        s->run += symbol;
    } while (symbol == NOT_LAST && s->run < n_left);
    s->in_run = 1;
    return s->run < n_left ? SQZ_OK : SQZ_STREAM;
}

static sqz_status read_gaps(sqz_stream *s, uint16_t *mask, uint32_t n) {
    for (uint32_t i = 0; i < n; ++i) {
        mask[i] = 0;
        if (!s->in_run && s->n_gaps_left > 0) {
            SQZ_TRY(read_run(s, s->n_block_left - i));
        }
        if (s->in_run) {
            mask[i] = s->run == 0;
            s->in_run = s->run > 0;
            s->run -= s->run > 0;
        }
    }
    return SQZ_OK;
}

static sqz_status read_mask(sqz_stream *s, uint16_t *mask, uint32_t n, uint32_t *n_nonzero) {
    sqz_status status = SQZ_OK;
    *n_nonzero = 0;
    switch (s->tensor->position_mode) {
    case SQZ_BITMAP:
        status = sqz_coder_read(&s->positions, mask, n);
        break;
    case SQZ_BYTES:
        status = read_bytes(s, mask, n);
        break;
    case SQZ_GAPS:
        status = read_gaps(s, mask, n);
        break;
    default:
        for (uint32_t i = 0; i < n; ++i) {
            mask[i] = 1;
        }
    }
    SQZ_TRY(status);
    for (uint32_t i = 0; i < n; ++i) {
        *n_nonzero += mask[i];
    }
    if (*n_nonzero > s->n_nonzero_left) {
        return SQZ_STREAM;
    }
    s->n_nonzero_left -= *n_nonzero;
    return SQZ_OK;
}

/* ---- Values ---- */

/* Levels into indices: of a codebook with B centroids below zero, level -B is index 1. */
static sqz_status read_levels(sqz_stream *s, int32_t *indices, uint32_t n) {
    const sqz_tensor *tensor = s->tensor;
    uint32_t n_nonzero = 0;
    SQZ_TRY(sqz_context_read(s->context, indices, n));
    for (uint32_t i = 0; i < n; ++i) {
        const int32_t level = indices[i];
        n_nonzero += level != 0;
        if (tensor->kind != SQZ_STEP_F32 && level != 0) {
            indices[i] = level + (int32_t)tensor->n_negative + (level < 0);
        }
    }
    if (n_nonzero > s->n_nonzero_left) {
        return SQZ_STREAM;
    }
    s->n_nonzero_left -= n_nonzero;
    return SQZ_OK;
}

static sqz_status read_coded(sqz_stream *s, int32_t *indices, uint32_t n) {
    const sqz_tensor *tensor = s->tensor;
    uint16_t mask[AT_A_TIME], symbols[AT_A_TIME];
    uint32_t n_nonzero, next = 0;
    SQZ_TRY(read_mask(s, mask, n, &n_nonzero));
    if (tensor->codes.alphabet > 0) {
        SQZ_TRY(sqz_coder_read(&s->codes, symbols, n_nonzero));
    } else {
        memset(symbols, 0, sizeof symbols);
    }
    for (uint32_t i = 0; i < n; ++i) {
        if (mask[i] == 0) {
            indices[i] = 0;
        } else if (tensor->kind != SQZ_STEP_F32) {
            indices[i] = symbols[next++] + 1;
        } else {
            const int32_t symbol = symbols[next++], n_negative = (int32_t)tensor->n_negative;
            indices[i] = symbol - n_negative + (symbol >= n_negative);
        }
    }
    return SQZ_OK;
}

/* The bits of raw or sparse floats. */
static sqz_status read_floats(sqz_stream *s, uint32_t *bits, uint32_t n) {
    const uint32_t size = sqz_item_size(s->tensor);
    const int sparse = s->tensor->kind > SQZ_RAW_I64;
    uint16_t mask[AT_A_TIME];
    uint32_t n_nonzero;
    if (sparse) {
        SQZ_TRY(read_mask(s, mask, n, &n_nonzero));
    }
    for (uint32_t i = 0; i < n; ++i) {
        bits[i] = 0;
        if (sparse && mask[i] == 0) {
            continue;
        }
        bits[i] = size == 2 ? sqz_u16(s->values) : sqz_u32(s->values);
        s->values += size;
        if (sparse && bits[i] == 0) {
            return SQZ_STREAM;
        }
    }
    return SQZ_OK;
}

/* Values_CRC over the weights of a sparse tensor, in the bytes that kind 0 or 1 would have. */
static void add_to_crc(sqz_stream *s, const uint32_t *bits, uint32_t n) {
    if (sqz_item_size(s->tensor) != 2) {
        s->crc = sqz_crc32c_words(s->crc, bits, n);
        return;
    }
    for (uint32_t i = 0; i < n; ++i) {
        const uint8_t bytes[2] = {(uint8_t)bits[i], (uint8_t)(bits[i] >> 8)};
        s->crc = sqz_crc32c(s->crc, bytes, 2);
    }
}

/* The next n weights of a block: indices, or the bits of floats. */
static sqz_status read_part(sqz_stream *s, uint32_t *values, uint32_t n) {
    const sqz_tensor *tensor = s->tensor;
    int32_t *const indices = (int32_t *)values;
    if (s->all_zero) {
        memset(values, 0, n * sizeof *values);
    } else if (!sqz_is_shared(tensor)) {
        SQZ_TRY(read_floats(s, values, n));
    } else {
        SQZ_TRY(s->context != NULL ? read_levels(s, indices, n) : read_coded(s, indices, n));
    }
    if (tensor->kind > SQZ_RAW_I64) {
        add_to_crc(s, values, n);
    }
    return SQZ_OK;
}

/* FORMAT.md, "Values". */
static float weight_of(const sqz_stream *s, uint32_t value) {
    const sqz_tensor *tensor = s->tensor;
    const size_t i = (size_t)value - 1; /* of a codebook */
    switch (tensor->kind) {
    case SQZ_RAW_F32:
    case SQZ_SPARSE_F32:
        return sqz_float(value);
    case SQZ_RAW_F16:
    case SQZ_SPARSE_F16:
        return sqz_float(sqz_widen(value));
    case SQZ_STEP_F32:
        return (float)(int32_t)value * tensor->step;
    case SQZ_CODEBOOK_F32:
        return value == 0 ? 0.0f : sqz_float(sqz_u32(tensor->centroids + 4 * i));
    case SQZ_CODEBOOK_F16:
        return value == 0 ? 0.0f : sqz_float(sqz_widen(sqz_u16(tensor->centroids + 2 * i)));
    default:
        return value == 0 ? 0.0f : sqz_float(sqz_widen(s->sorted[i]));
    }
}

/* ---- Reading ---- */

typedef enum form { WEIGHTS, INDICES, RAW } form;

static void put(const sqz_stream *s, form as, void *out, size_t done, const uint32_t *values, uint32_t n) {
    uint32_t i;
    if (as == INDICES) {
        memcpy((int32_t *)out + done, values, n * sizeof *values);
    } else if (as == WEIGHTS) {
        for (i = 0; i < n; ++i) {
            ((float *)out)[done + i] = weight_of(s, values[i]);
        }
    } else {
        const uint32_t size = sqz_item_size(s->tensor);
        for (i = 0; i < n * size; ++i) {
            ((uint8_t *)out)[done * size + i] = (uint8_t)(values[i / size] >> 8 * (i % size));
        }
    }
}

static sqz_status read_int64(sqz_stream *s, uint8_t *out, uint32_t n) {
    memcpy(out, s->values, (size_t)n * 8);
    s->values += (size_t)n * 8;
    return SQZ_OK;
}

static sqz_status read_as(sqz_stream *s, form as, void *out, size_t n) {
    size_t done = 0;
    if (n > s->n_left) {
        return SQZ_ARGUMENT;
    }
    while (done < n) {
        uint32_t values[AT_A_TIME];
        if (s->n_block_left == 0) {
            SQZ_TRY(begin_block(s));
        }
        uint32_t part = sqz_min(s->n_block_left, AT_A_TIME);
        part = n - done < part ? (uint32_t)(n - done) : part;
        if (s->tensor->kind == SQZ_RAW_I64) {
            SQZ_TRY(read_int64(s, (uint8_t *)out + done * 8, part));
        } else {
            SQZ_TRY(read_part(s, values, part));
            put(s, as, out, done, values, part);
        }
        done += part;
        s->n_left -= part;
        s->n_block_left -= part;
        if (s->n_block_left == 0) {
            SQZ_TRY(end_block(s));
        }
    }
    return SQZ_OK;
}

/* A stream that has refused once goes on refusing. */
static sqz_status read(sqz_stream *stream, form as, void *out, size_t n) {
    if (stream->status == SQZ_OK) {
        stream->status = read_as(stream, as, out, n);
    }
    return stream->status;
}

sqz_status sqz_read(sqz_stream *stream, float *weights, size_t n) {
    if (stream->status == SQZ_OK && stream->tensor->kind == SQZ_RAW_I64) {
        return SQZ_ARGUMENT;
    }
    return read(stream, WEIGHTS, weights, n);
}

sqz_status sqz_read_indices(sqz_stream *stream, int32_t *indices, size_t n) {
    if (stream->status == SQZ_OK && !sqz_is_shared(stream->tensor)) {
        return SQZ_ARGUMENT;
    }
    return read(stream, INDICES, indices, n);
}

sqz_status sqz_read_raw(sqz_stream *stream, void *bytes, size_t n) {
    if (stream->status == SQZ_OK && sqz_is_shared(stream->tensor)) {
        return SQZ_ARGUMENT;
    }
    return read(stream, RAW, bytes, n);
}

sqz_status sqz_end(sqz_stream *stream) {
    if (stream->status == SQZ_OK && stream->n_left > 0) {
        stream->status = SQZ_ARGUMENT;
    }
    if (stream->status == SQZ_OK && stream->tensor->kind > SQZ_RAW_I64 && stream->crc != stream->tensor->values_crc) {
        stream->status = SQZ_VALUES_CRC;
    }
    return stream->status;
}
