/* The coders of FORMAT.md that take symbols: stored, huffman and range. A model stays packed in the table; from it, when a tensor
 * begins, what decoding looks up is made in the work memory. */

#include <string.h>

#include "sqz_private.h"

enum {
    MAX_LENGTH = 15,         /* bits of a Huffman code */
    WHOLE = 1 << MAX_LENGTH, /* the sum of 2^-length of a complete code, in units of the longest */
    TABLE_BITS = 10,         /* Huffman codes up to so long take one look-up */
    TOTAL_BITS = 14,
    TOTAL = 1 << TOTAL_BITS, /* the sum of a range model's frequencies */
    MAX_PRESENT = 4096,
    BUCKET_BITS = 6 /* targets a bucket */
};

/* ---- Model of huffman: code lengths in nibbles ---- */

typedef struct lengths {
    const sqz_model *model;
    uint32_t at; /* the next nibble */
    uint32_t symbol;
    uint32_t sum; /* of 2^-length, in units of 2^-15 */
    uint32_t n_present;
    uint32_t after_run;
} lengths;

static sqz_status take_nibble(lengths *from, uint32_t *nibble) {
    if (from->at >= 2 * (uint64_t)from->model->size) {
        return SQZ_MODEL;
    }
    const uint32_t byte = from->model->data[from->at / 2];
    *nibble = from->at++ & 1 ? byte & 15 : byte >> 4;
    return SQZ_OK;
}

static sqz_status skip_run(lengths *from) {
    uint32_t length = 1, nibble, n = 0;
    do {
        if (n == 6) {
            return SQZ_MODEL;
        }
        SQZ_TRY(take_nibble(from, &nibble));
        length += (nibble & 7) << 3 * n++;
    } while (nibble & 8);
    if (from->after_run || (nibble == 0 && n > 1) || length > from->model->alphabet - from->symbol) {
        return SQZ_MODEL;
    }
    from->symbol += length;
    from->after_run = 1;
    return SQZ_OK;
}

/* The next present symbol. length 0: there is none. */
static sqz_status next_length(lengths *from, uint32_t *symbol, uint32_t *length) {
    *length = 0;
    while (from->symbol < from->model->alphabet && from->sum != WHOLE) {
        SQZ_TRY(take_nibble(from, length));
        if (*length > 0) {
            from->after_run = 0;
            from->sum += (uint32_t)WHOLE >> *length;
            ++from->n_present;
            *symbol = from->symbol++;
            return from->sum <= WHOLE ? SQZ_OK : SQZ_MODEL;
        }
        if (from->model->alphabet <= 16) {
            ++from->symbol;
        } else {
            SQZ_TRY(skip_run(from));
        }
    }
    return SQZ_OK;
}

static sqz_status check_huffman(const sqz_model *model) {
    lengths from = {model, 0, 0, 0, 0, 0};
    uint32_t symbol, length, last = 0, filler = 0;
    for (;;) {
        SQZ_TRY(next_length(&from, &symbol, &length));
        if (length == 0) {
            break;
        }
        last = length;
    }
    if (from.sum != WHOLE && !(from.n_present == 1 && last == 1)) {
        return SQZ_MODEL;
    }
    if (from.at & 1) {
        SQZ_TRY(take_nibble(&from, &filler));
    }
    return filler == 0 && from.at == 2 * (uint64_t)model->size ? SQZ_OK : SQZ_MODEL;
}

static uint32_t huffman_present(const sqz_model *model, uint32_t counts[MAX_LENGTH + 1]) {
    lengths from = {model, 0, 0, 0, 0, 0};
    uint32_t symbol, length;
    memset(counts, 0, (MAX_LENGTH + 1) * sizeof *counts);
    while (next_length(&from, &symbol, &length) == SQZ_OK && length > 0) {
        ++counts[length];
    }
    return from.n_present;
}

static uint32_t huffman_width(const uint32_t counts[MAX_LENGTH + 1]) {
    uint32_t longest = MAX_LENGTH;
    while (counts[longest] == 0) {
        --longest;
    }
    return sqz_min(longest, TABLE_BITS);
}

/* Codes are sorted by (length, symbol), so those of one length are numbers in a row, and so are their symbols. */
static void open_huffman(sqz_coder *coder, const sqz_model *model) {
    lengths from = {model, 0, 0, 0, 0, 0};
    uint32_t counts[MAX_LENGTH + 1], next[MAX_LENGTH + 1];
    uint32_t n = 0, end = 0, symbol, length;
    huffman_present(model, counts);
    for (length = 1; length <= MAX_LENGTH; ++length) {
        coder->numbers[length] = (uint16_t)n;
        next[length] = n;
        n += counts[length];
        end += counts[length] << (MAX_LENGTH - length);
        coder->ends[length] = (uint16_t)end;
    }
    while (next_length(&from, &symbol, &length) == SQZ_OK && length > 0) {
        coder->symbols[next[length]++] = (uint16_t)symbol;
    }
    memset(coder->table, 0, sizeof *coder->table << coder->width);
    uint32_t *entry = coder->table;
    for (length = 1, n = 0; length <= coder->width; ++length) {
        for (; n < next[length]; ++n) {
            for (uint32_t i = 0; i < (uint32_t)1 << (coder->width - length); ++i) {
                *entry++ = (uint32_t)coder->symbols[n] << 4 | length;
            }
        }
    }
}

/* ---- Model of range: frequencies as varints ---- */

typedef struct frequencies {
    sqz_bytes bytes;
    uint32_t alphabet;
    uint32_t symbol;
    uint32_t left; /* of the sum, 2^14 */
    uint32_t after_run;
} frequencies;

static void begin_frequencies(frequencies *from, const sqz_model *model) {
    from->bytes.next = model->data;
    from->bytes.end = model->data + model->size;
    from->alphabet = model->alphabet;
    from->symbol = 0;
    from->left = TOTAL;
    from->after_run = 0;
}

/* The next present symbol. frequency 0: there is none. */
static sqz_status next_frequency(frequencies *from, uint32_t *symbol, uint32_t *frequency) {
    *frequency = 0;
    while (from->left > 0) {
        uint32_t value = from->left; /* of the last symbol, unwritten */
        if (from->symbol + 1 < from->alphabet && sqz_varint(&from->bytes, &value) != SQZ_OK) {
            return SQZ_MODEL;
        }
        if (value > from->left) {
            return SQZ_MODEL;
        }
        if (value > 0) {
            *symbol = from->symbol++;
            *frequency = value;
            from->left -= value;
            from->after_run = 0;
            return SQZ_OK;
        }
        uint32_t length; /* less 1 */
        if (from->after_run || sqz_varint(&from->bytes, &length) != SQZ_OK || length >= from->alphabet - from->symbol - 1) {
            return SQZ_MODEL;
        }
        from->symbol += length + 1;
        from->after_run = 1;
    }
    return SQZ_OK;
}

static uint32_t range_present(const sqz_model *model) {
    frequencies from;
    uint32_t symbol, frequency, n = 0;
    begin_frequencies(&from, model);
    while (next_frequency(&from, &symbol, &frequency) == SQZ_OK && frequency > 0) {
        ++n;
    }
    return n;
}

static sqz_status check_range(const sqz_model *model) {
    frequencies from;
    uint32_t symbol, frequency, n = 0;
    begin_frequencies(&from, model);
    do {
        SQZ_TRY(next_frequency(&from, &symbol, &frequency));
        n += frequency > 0;
    } while (frequency > 0 && n <= MAX_PRESENT);
    return n <= MAX_PRESENT && sqz_n_left(&from.bytes) == 0 ? SQZ_OK : SQZ_MODEL;
}

static void open_range(sqz_coder *coder, const sqz_model *model) {
    frequencies from;
    uint32_t symbol, frequency, n = 0, sum = 0, bucket = 0;
    begin_frequencies(&from, model);
    while (next_frequency(&from, &symbol, &frequency) == SQZ_OK && frequency > 0) {
        coder->symbols[n] = (uint16_t)symbol;
        coder->sums[n] = (uint16_t)sum;
        sum += frequency;
        for (; bucket << BUCKET_BITS < sum; ++bucket) {
            coder->buckets[bucket] = (uint16_t)n;
        }
        ++n;
    }
    coder->sums[n] = TOTAL;
}

/* ---- The three ---- */

sqz_status sqz_check_model(const sqz_model *model) {
    if (model->coder == SQZ_HUFFMAN) {
        return check_huffman(model);
    }
    if (model->coder == SQZ_RANGE) {
        return check_range(model);
    }
    return model->size == 0 ? SQZ_OK : SQZ_MODEL;
}

static size_t round_up(size_t n) { return (n + 7) & ~(size_t)7; }

size_t sqz_coder_memory(const sqz_model *model) {
    if (model->coder == SQZ_HUFFMAN) {
        uint32_t counts[MAX_LENGTH + 1];
        const size_t n = huffman_present(model, counts);
        return round_up((sizeof(uint32_t) << huffman_width(counts)) + n * sizeof(uint16_t));
    }
    if (model->coder == SQZ_RANGE) {
        return round_up((2 * (size_t)range_present(model) + 1 + (TOTAL >> BUCKET_BITS)) * sizeof(uint16_t));
    }
    return 0;
}

void sqz_coder_open(sqz_coder *coder, const sqz_model *model, uint8_t *memory) {
    void *const aligned = memory;
    memset(coder, 0, sizeof *coder);
    coder->coder = model->coder;
    coder->alphabet = model->alphabet;
    if (model->coder == SQZ_HUFFMAN) {
        uint32_t counts[MAX_LENGTH + 1];
        coder->n_present = huffman_present(model, counts);
        coder->width = (uint8_t)huffman_width(counts);
        coder->table = aligned;
        coder->symbols = (uint16_t *)(coder->table + ((size_t)1 << coder->width));
        open_huffman(coder, model);
    } else if (model->coder == SQZ_RANGE) {
        coder->n_present = range_present(model);
        coder->buckets = aligned;
        coder->symbols = coder->buckets + (TOTAL >> BUCKET_BITS);
        coder->sums = coder->symbols + coder->n_present;
        open_range(coder, model);
    } else {
        while ((uint32_t)1 << coder->width < model->alphabet) {
            ++coder->width;
        }
    }
}

/* The next byte of a stream; zeros after its end, which are counted. */
static inline uint32_t take_byte(sqz_coder *coder) {
    if (coder->next < coder->end) {
        return *coder->next++;
    }
    ++coder->n_zeros;
    return 0;
}

sqz_status sqz_coder_begin(sqz_coder *coder, const uint8_t *data, uint32_t size, uint32_t n_symbols) {
    coder->next = data;
    coder->end = data + size;
    coder->code = coder->n_bits = coder->n_zeros = 0;
    if (coder->coder == SQZ_STORED) {
        return size == ((uint64_t)n_symbols * coder->width + 7) / 8 ? SQZ_OK : SQZ_STREAM;
    }
    if (coder->coder == SQZ_RANGE) {
        if (coder->n_present == 1) {
            return size == 0 ? SQZ_OK : SQZ_STREAM;
        }
        if (size == 0) {
            return SQZ_STREAM;
        }
        for (unsigned i = 0; i < 4; ++i) {
            coder->code = coder->code << 8 | take_byte(coder);
        }
        coder->span = UINT32_MAX;
        return coder->code < UINT32_MAX ? SQZ_OK : SQZ_STREAM;
    }
    return SQZ_OK;
}

/* At least 25 bits in `code`. */
static inline void fill_bits(sqz_coder *c) {
    while (c->n_bits <= 24) {
        c->code |= take_byte(c) << (24 - c->n_bits);
        c->n_bits += 8;
    }
}

static sqz_status read_stored(sqz_coder *coder, uint16_t *symbols, uint32_t n) {
    const uint32_t width = coder->width;
    for (uint32_t i = 0; i < n; ++i) {
        fill_bits(coder);
        const uint32_t symbol = width > 0 ? coder->code >> (32 - width) : 0;
        coder->code <<= width;
        coder->n_bits -= width;
        symbols[i] = (uint16_t)symbol;
        if (symbol >= coder->alphabet) {
            return SQZ_STREAM;
        }
    }
    return SQZ_OK;
}

static sqz_status read_huffman(sqz_coder *coder, uint16_t *symbols, uint32_t n) {
    sqz_coder c = *coder; /* in registers */
    for (uint32_t i = 0; i < n; ++i) {
        fill_bits(&c);
        const uint32_t entry = c.table[c.code >> (32 - c.width)];
        uint32_t length = entry & 15;
        symbols[i] = (uint16_t)(entry >> 4);
        if (length == 0) {
            const uint32_t top = c.code >> (32 - MAX_LENGTH);
            for (length = c.width + 1u; length <= MAX_LENGTH && top >= c.ends[length]; ++length) {
            }
            if (length > MAX_LENGTH) {
                return SQZ_STREAM;
            }
            symbols[i] = c.symbols[c.numbers[length] + ((top - c.ends[length - 1]) >> (MAX_LENGTH - length))];
        }
        c.code <<= length;
        c.n_bits -= length;
    }
    coder->next = c.next, coder->code = c.code, coder->n_bits = c.n_bits, coder->n_zeros = c.n_zeros;
    return 8 * (uint64_t)c.n_zeros <= c.n_bits ? SQZ_OK : SQZ_STREAM; /* no bit taken after the stream's end */
}

static sqz_status read_range(sqz_coder *coder, uint16_t *symbols, uint32_t n) {
    const uint16_t *const sums = coder->sums;
    const uint32_t last = coder->n_present - 1;
    const uint8_t *next = coder->next;
    uint32_t code = coder->code, span = coder->span;
    for (uint32_t i = 0; i < n; ++i) {
        uint32_t s = 0;
        if (last > 0) {
            const uint32_t unit = span >> TOTAL_BITS;
            if (last == 1) {
                s = unit * sums[1] <= code;
            } else {
                const uint32_t target = sqz_min(code / unit, TOTAL - 1); /* what unit 2^14 leaves of span is `last`'s */
                for (s = coder->buckets[target >> BUCKET_BITS]; sums[s + 1] <= target; ++s) {
                }
            }
            const uint32_t below = unit * sums[s];
            code -= below;
            span = s == last ? span - below : unit * (uint32_t)(sums[s + 1] - sums[s]);
            while (span < (uint32_t)1 << 24) {
                uint32_t byte = 0;
                if (next < coder->end) {
                    byte = *next++;
                } else if (++coder->n_zeros > SQZ_READ_AHEAD) {
                    return SQZ_STREAM;
                }
                code = code << 8 | byte;
                span <<= 8;
            }
        }
        symbols[i] = coder->symbols[s];
    }
    coder->next = next, coder->code = code, coder->span = span;
    return SQZ_OK;
}

sqz_status sqz_coder_read(sqz_coder *coder, uint16_t *symbols, uint32_t n) {
    return coder->coder == SQZ_STORED    ? read_stored(coder, symbols, n)
           : coder->coder == SQZ_HUFFMAN ? read_huffman(coder, symbols, n)
                                         : read_range(coder, symbols, n);
}

sqz_status sqz_coder_end(const sqz_coder *coder) {
    if (coder->next != coder->end) {
        return SQZ_STREAM;
    }
    if (coder->coder == SQZ_RANGE) {
        return coder->n_present == 1 || (coder->n_zeros == SQZ_READ_AHEAD && coder->code < (uint32_t)1 << 24) ? SQZ_OK
                                                                                                              : SQZ_STREAM;
    }
    /* Less than a byte of filling, all zero bits, before the zero bytes taken after the end. */
    return coder->n_bits - 8 * coder->n_zeros < 8 && coder->code == 0 ? SQZ_OK : SQZ_STREAM;
}
