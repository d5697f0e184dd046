/* The coder of FORMAT.md, "context": signed levels, an adaptive binary range coder with three mixed contexts. The names are that
 * section's. A block is decoded weight by weight; of the weights before, two rows of levels are kept. */

#include <string.h>

#include "sqz_private.h"

enum {
    LARGEST = 2047,    /* of x in squash(x) */
    COUNT_LIMIT = 250, /* of a counter */
    N_EXPECTED = 16,   /* values of `expected` */
    N_LEFT = 64,       /* values of context 1 */
    N_SIGN_0 = 27,
    N_SIGN_1 = 243,
    N_SIGN_2 = 128,
    N_NEAR = 7,         /* neighbours of a prediction, the column's mean not counted */
    N_NEAR_OF_ROWS = 4, /* of them, those that there are where a kernel is one weight */
    MAX_MEAN = 65520,
    LAST_RATE = 40 /* of row_rate(c): from there on all are the same */
};

/* Once for each use, unless size is what matters. */
#if defined(SQZ_SMALL)
#define INLINE
#elif defined(__GNUC__)
#define INLINE inline __attribute__((always_inline))
#else
#define INLINE inline
#endif

/* What is known of a column: the levels of the two rows before, by the parity of the row; mag[c] and avg[c]. */
typedef struct column {
    int16_t levels[2];
    int32_t mag, avg;
} column;

/* The mixing weights of a decision. */
typedef struct mixer {
    int32_t w[4];
} mixer;

struct sqz_context {
    /* The stream */
    const uint8_t *next, *end;
    uint32_t code, span;
    uint32_t n_zeros; /* bytes taken after the stream's end */
    /* The model and the layer */
    uint32_t mean, context_set;
    uint32_t n_negative, n_positive;
    uint32_t columns, kernel, width;
    uint32_t n_columns;   /* that a block can have */
    uint32_t n_bits;      /* L of the layer's largest level */
    uint32_t n_decisions; /* that such levels take, the sign's not counted */
    uint32_t n_logs;      /* values of log(..) >> 1 */
    uint32_t n_excess;    /* values of context 2 for one `expected` */
    uint32_t log_mean;
    uint32_t per_mean; /* 262144 // Mean */
    /* Place */
    uint32_t c, r, p, px; /* r counts to 15, then goes on as 14, 15, 14, ..: only min(r, 14) and its parity are asked for */
    /* State */
    int32_t row, left, left2;
    int64_t sofar;
    int64_t tap[N_NEAR + 1];
    column *column;
    uint32_t *counters[3]; /* [context][decision]: probability << 10 | count */
    uint32_t *signs[3];    /* [context] */
    mixer *mixers;         /* [decision], the sign's last */
    /* Tables */
    int16_t stretch[4096];
    uint16_t squash[2 * LARGEST + 1]; /* of x + 2047 */
    uint16_t rates[COUNT_LIMIT + 1];
    uint16_t row_rates[LAST_RATE + 1];
    uint8_t logs[LARGEST + 1];
};

/* ---- Model ---- */

static uint32_t mean_of(const sqz_model *model) {
    sqz_bytes bytes = {model->data + 1, model->data + model->size};
    uint32_t mean = 0;
    return model->size > 0 && sqz_varint(&bytes, &mean) == SQZ_OK && bytes.next == bytes.end ? mean : 0;
}

sqz_status sqz_check_context(const sqz_model *model) {
    const uint32_t mean = mean_of(model);
    return mean >= 1 && mean <= MAX_MEAN && model->data[0] <= 1 ? SQZ_OK : SQZ_MODEL;
}

/* ---- Tables ---- */

static const uint16_t logistic[33] = {1,    2,    4,    6,    10,   17,   28,   45,   74,   120,  194,
                                      311,  488,  747,  1102, 1546, 2048, 2550, 2994, 3349, 3608, 3785,
                                      3902, 3976, 4022, 4051, 4068, 4079, 4086, 4090, 4092, 4094, 4095};

static inline uint32_t squash(int32_t x) {
    const uint32_t a = (uint32_t)((x >> 7) + 16), b = (uint32_t)x & 127;
    return (logistic[a] * (128 - b) + logistic[a + 1] * b + 64) >> 7;
}

static uint32_t log_of(uint32_t v) {
    uint32_t e = 0;
    if (v < 2) {
        return 0;
    }
    while (v >> e > 1) {
        ++e;
    }
    return sqz_min(47, 4 * e + (4 * v >> e & 3));
}

static void make_tables(struct sqz_context *x) {
    uint32_t q = 0;
    for (int32_t s = -LARGEST; s <= LARGEST; ++s) {
        x->squash[s + LARGEST] = (uint16_t)squash(s);
        for (const uint32_t end = squash(s); q <= end; ++q) {
            x->stretch[q] = (int16_t)s;
        }
    }
    for (; q < 4096; ++q) {
        x->stretch[q] = LARGEST;
    }
    for (uint32_t k = 0; k <= COUNT_LIMIT; ++k) {
        x->rates[k] = (uint16_t)(131072 / (2 * k + 3));
    }
    for (uint32_t c = 0; c <= LAST_RATE; ++c) {
        x->row_rates[c] = (uint16_t)(65536 / (c + 6));
    }
    for (uint32_t v = 0; v <= LARGEST; ++v) {
        x->logs[v] = (uint8_t)log_of(v);
    }
}

/* ---- Memory ---- */

static uint32_t highest_bit(uint32_t v) {
    uint32_t n = 0;
    while (v >> n > 1) {
        ++n;
    }
    return n;
}

/* The number of a decision D = min(79, 13 + 2^L + node) among all that there can be, those of L + 1 bits and more left out. */
static inline uint32_t bit_decision(uint32_t n_bits, uint32_t n_unary, uint32_t node) {
    return n_unary + sqz_min(58, ((uint32_t)1 << n_bits) - n_bits - 2 + node);
}

/* Fills in the layer's part of the context. */
static void set_layer(struct sqz_context *x, const sqz_tensor *tensor, uint32_t block_size) {
    x->context_set = tensor->positions.data[0];
    x->mean = mean_of(&tensor->positions);
    x->per_mean = 262144 / x->mean;
    x->log_mean = log_of(sqz_min(2 * x->mean, LARGEST));
    x->n_negative = tensor->n_negative;
    x->n_positive = tensor->n_positive;
    x->columns = x->kernel = x->width = 1;
    for (unsigned i = 1; i < tensor->n_dims; ++i) {
        x->columns *= tensor->dims[i];
        x->kernel *= i > 1 ? tensor->dims[i] : 1;
    }
    if (tensor->n_dims > 2) {
        x->width = tensor->dims[tensor->n_dims - 1];
    }
    x->n_columns = sqz_min(x->columns, sqz_min(block_size, tensor->n_weights));
    const uint32_t level = x->n_negative > x->n_positive ? x->n_negative : x->n_positive;
    x->n_bits = highest_bit(level);
    /* D = 0; D = 2 .. 2 + L; and the last decision of the bits below the highest of L + 1, of which the first has node 1. */
    x->n_decisions = x->n_bits + 2 + (x->n_bits > 0 ? bit_decision(x->n_bits, 1, ((uint32_t)1 << x->n_bits) - 1) : 0);
    /* mag[c] and row are means of 256 Mean and of 4096 times magnitudes, so never above the largest of these. */
    const uint32_t largest = 256 * x->mean > 4096 * level ? 256 * x->mean : 4096 * level;
    const uint32_t log = log_of(sqz_min(largest >> 7, LARGEST));
    x->n_logs = (log >> 1) + 1;
    x->n_excess = (2 * log > x->log_mean ? sqz_min(47, 2 * log - x->log_mean) >> 1 : 0) + 1;
}

static uint32_t n_contexts(const struct sqz_context *x, unsigned j) {
    const uint32_t n[3] = {x->n_logs * x->n_logs, N_LEFT, N_EXPECTED * x->n_excess};
    return x->context_set ? n[j] : 1;
}

static uint32_t n_signs(const struct sqz_context *x, unsigned j) {
    static const uint8_t n[3] = {N_SIGN_0, N_SIGN_1, N_SIGN_2};
    return x->context_set ? n[j] : 1;
}

static size_t n_counters(const struct sqz_context *x) {
    size_t n = 0;
    for (unsigned j = 0; j < 3; ++j) {
        n += (size_t)n_contexts(x, j) * x->n_decisions + n_signs(x, j);
    }
    return n;
}

size_t sqz_context_memory(const sqz_tensor *tensor, uint32_t block_size) {
    struct sqz_context x;
    set_layer(&x, tensor, block_size);
    const size_t size = sizeof x + x.n_columns * sizeof(column) + (x.n_decisions + 1) * sizeof(mixer);
    return (size + n_counters(&x) * sizeof(uint32_t) + 7) & ~(size_t)7;
}

void sqz_context_open(struct sqz_context *x, const sqz_tensor *tensor, uint32_t block_size) {
    set_layer(x, tensor, block_size);
    make_tables(x);
    x->column = (column *)(x + 1);
    x->mixers = (mixer *)(x->column + x->n_columns);
    uint32_t *counters = (uint32_t *)(x->mixers + x->n_decisions + 1);
    for (unsigned j = 0; j < 3; ++j) {
        x->counters[j] = counters;
        counters += (size_t)n_contexts(x, j) * x->n_decisions;
        x->signs[j] = counters;
        counters += n_signs(x, j);
    }
}

/* ---- A block ---- */

static inline uint32_t take_byte(struct sqz_context *x) {
    if (x->next < x->end) {
        return *x->next++;
    }
    ++x->n_zeros;
    return 0;
}

static void begin_row(struct sqz_context *x) {
    x->c = x->p = x->px = 0;
    x->left = x->left2 = 0;
    x->sofar = 0;
    x->row = (int32_t)(256 * x->mean);
}

sqz_status sqz_context_begin(struct sqz_context *x, const uint8_t *data, uint32_t size) {
    static const column first_row = {{0, 0}, 0, 0};
    static const mixer even = {{24000, 24000, 24000, 0}};
    begin_row(x);
    x->r = 0;
    memset(x->tap, 0, sizeof x->tap);
    for (uint32_t c = 0; c < x->n_columns; ++c) {
        x->column[c] = first_row;
        x->column[c].mag = (int32_t)(256 * x->mean);
    }
    for (uint32_t i = 0; i <= x->n_decisions; ++i) {
        x->mixers[i] = even;
    }
    const size_t n = n_counters(x); /* of all three contexts, one after the other */
    for (size_t i = 0; i < n; ++i) {
        x->counters[0][i] = (uint32_t)1 << 31;
    }
    x->next = data;
    x->end = data + size;
    x->n_zeros = 0;
    x->span = UINT32_MAX;
    for (unsigned i = 0; i < 4; ++i) {
        x->code = x->code << 8 | take_byte(x);
    }
    return size > 0 && x->code < UINT32_MAX ? SQZ_OK : SQZ_STREAM;
}

sqz_status sqz_context_end(const struct sqz_context *x) {
    return x->next == x->end && x->n_zeros == SQZ_READ_AHEAD && x->code < (uint32_t)1 << 24 ? SQZ_OK : SQZ_STREAM;
}

/* ---- A decision ---- */

/* The three counters that the contexts of a decision choose, as they are before it, and stretch(..) of their probabilities. */
typedef struct voters {
    uint32_t *at[3];
    uint32_t counter[3];
    int32_t stretched[3];
} voters;

#if defined(__AVX2__) && !defined(SQZ_SMALL)

#include <immintrin.h>

static inline __m128i vector(uint32_t a, uint32_t b, uint32_t c) {
    return _mm_insert_epi32(_mm_insert_epi32(_mm_cvtsi32_si128((int)a), (int)b, 1), (int)c, 2);
}

/* As below, the three at once. */
static inline void learn(const struct sqz_context *x, const voters *v, mixer *mix, uint32_t one, uint32_t bit) {
    const uint32_t *const c = v->counter;
    const __m128i counters = vector(c[0], c[1], c[2]), counts = _mm_and_si128(counters, _mm_set1_epi32(1023));
    const __m128i rates = vector(x->rates[c[0] & 1023], x->rates[c[1] & 1023], x->rates[c[2] & 1023]);
    const __m256i probabilities = _mm256_cvtepu32_epi64(_mm_srli_epi32(counters, 10));
    const __m256i gaps = _mm256_sub_epi64(_mm256_set1_epi64x((int64_t)bit << 22), probabilities);
    const __m256i changes = _mm256_srli_epi64(_mm256_mul_epi32(gaps, _mm256_cvtepu32_epi64(rates)), 6); /* >> 16 << 10 */
    const __m256i low_halves = _mm256_permutevar8x32_epi32(changes, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
    const __m128i moved = _mm_andnot_si128(_mm_set1_epi32(1023), _mm256_castsi256_si128(low_halves));
    const __m128i counted = _mm_cmplt_epi32(counts, _mm_set1_epi32(COUNT_LIMIT)); /* -1 where it is below */
    const __m128i changed = _mm_sub_epi32(_mm_add_epi32(counters, moved), counted);
    *v->at[0] = (uint32_t)_mm_cvtsi128_si32(changed);
    *v->at[1] = (uint32_t)_mm_extract_epi32(changed, 1);
    *v->at[2] = (uint32_t)_mm_extract_epi32(changed, 2);
    const __m128i y = vector((uint32_t)v->stretched[0], (uint32_t)v->stretched[1], (uint32_t)v->stretched[2]);
    const __m128i steps = _mm_mullo_epi32(y, _mm_set1_epi32((int32_t)(bit << 12) - (int32_t)one));
    __m128i *const w = (__m128i *)mix->w;
    const __m128i rounded = _mm_srai_epi32(_mm_add_epi32(steps, _mm_set1_epi32(2048)), 12);
    _mm_storeu_si128(w, _mm_add_epi32(_mm_loadu_si128(w), rounded));
}

#else

static inline uint32_t adapt(uint32_t counter, uint32_t bit, const uint16_t *rates) {
    const uint32_t count = counter & 1023;
    const int64_t gap = ((int64_t)bit << 22) - (counter >> 10);
    const int64_t change = (gap * rates[count]) >> 16;
    return counter + ((uint32_t)change << 10) + (count < COUNT_LIMIT);
}

/* What a decision was, for its counters and its mixing weights. one: the probability of a 1 that they gave. */
static inline void learn(const struct sqz_context *x, const voters *v, mixer *mix, uint32_t one, uint32_t bit) {
    const int32_t error = (int32_t)(bit << 12) - (int32_t)one;
    for (unsigned j = 0; j < 3; ++j) {
        mix->w[j] += (v->stretched[j] * error + 2048) >> 12; /* (4 y error + 8192) >> 14 */
        *v->at[j] = adapt(v->counter[j], bit, x->rates);
    }
}

#endif

/* One binary decision, of these counters. Without branches but one: its bits are what nobody can predict. */
static uint32_t decide(struct sqz_context *x, mixer *mix, uint32_t *q0, uint32_t *q1, uint32_t *q2) {
    const uint32_t c0 = *q0, c1 = *q1, c2 = *q2;
    const voters v = {{q0, q1, q2}, {c0, c1, c2}, {x->stretch[c0 >> 20], x->stretch[c1 >> 20], x->stretch[c2 >> 20]}};
    const int64_t y0 = v.stretched[0], y1 = v.stretched[1], y2 = v.stretched[2];
    int64_t sum = (mix->w[0] * y0 + mix->w[1] * y1 + mix->w[2] * y2) >> 16;
    sum = sum > LARGEST ? LARGEST : sum;
    sum = sum < -LARGEST ? -LARGEST : sum;
    const uint32_t one = x->squash[sum + LARGEST];
    const uint32_t bound = (x->span >> 12) * one;
    const uint32_t bit = x->code < bound, ones = 0 - bit;
    uint32_t code = x->code - (bound & ~ones);
    uint32_t span = ((x->span - bound) & ~ones) | (bound & ones);
    while (span < (uint32_t)1 << 24) {
        code = code << 8 | take_byte(x);
        span <<= 8;
    }
    x->code = code, x->span = span;
    learn(x, &v, mix, one, bit);
    return bit;
}

/* ---- A weight ---- */

static inline uint32_t clipped(int32_t level) { return sqz_min(3, (uint32_t)(level < 0 ? -level : level)); }
static inline uint32_t three(int32_t level) { return (uint32_t)(level > 0) | (uint32_t)level >> 31 << 1; }

/* 64 bits hold everything unless a kernel of ten thousands of weights holds huge levels; then what is above them is lost. */
static inline int64_t plus(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }
static inline int64_t times(int64_t a, int64_t b) { return (int64_t)((uint64_t)a * (uint64_t)b); }
static inline uint64_t absolute(int64_t a) { return (uint64_t)((a ^ a >> 63)) - (uint64_t)(a >> 63); }

/* (65536 |error|) // power, with the error's sign. */
static inline int64_t gain_of(int64_t error, uint64_t power) {
    const uint64_t gap = absolute(error) << 16;
    const int64_t gain = sizeof(void *) < 8 && (gap | power) >> 32 == 0 ? (uint32_t)gap / (uint32_t)power : (int64_t)(gap / power);
    return (gain ^ error >> 63) - (error >> 63);
}

static inline int32_t towards(int32_t mean, int32_t target, uint32_t rate) {
    return mean + (int32_t)(((int64_t)(target - mean) * rate) >> 16);
}

/* The magnitude of a level that is not zero, but for its sign; 0: one that the layer does not have. */
static INLINE uint32_t read_magnitude(struct sqz_context *x, uint32_t *q0, uint32_t *q1, uint32_t *q2) {
    const uint32_t n_unary = x->n_bits + 2;
    uint32_t n_bits = 0, node = 1, d = 1;
    while (decide(x, x->mixers + d, q0 + d, q1 + d, q2 + d)) {
        if (n_bits == x->n_bits) {
            return 0;
        }
        ++n_bits, ++d;
    }
    for (uint32_t bits = n_bits; bits > 0; --bits) {
        d = bit_decision(n_bits, n_unary, node);
        node = 2 * node + decide(x, x->mixers + d, q0 + d, q1 + d, q2 + d);
    }
    return node;
}

/* The levels of n weights of one row. has_kernel: whether a kernel is more than one weight. */
static INLINE sqz_status read_row(struct sqz_context *x, int32_t *levels, uint32_t n, const int has_kernel) {
    const uint32_t n_decisions = x->n_decisions, odd = x->r & 1;
    const uint32_t column_rate = 65536 / (sqz_min(x->r, 14) + 2);
    const int64_t power_floor = (int64_t)14 * x->mean * x->mean;
    const unsigned n_near = has_kernel ? N_NEAR : N_NEAR_OF_ROWS;
    for (uint32_t i = 0; i < n; ++i) {
        column *const at = x->column + x->c;
        /* Neighbours */
        const int32_t left = x->left, left2 = x->left2, above = at->levels[!odd], above2 = at->levels[odd];
        int32_t up = 0, corner = 0;
        if (has_kernel && x->p >= x->width) {
            up = at[-(ptrdiff_t)x->width].levels[odd];
            corner = x->px > 0 ? at[-(ptrdiff_t)x->width - 1].levels[odd] : 0;
        }
        const int64_t average = at->avg >> 8;
        const int64_t near[N_NEAR] = {above, above2, left, left2, up, corner, x->sofar};
        /* Prediction, with x[t] = 16 near[t] */
        int64_t sum = 0, squares = 0;
        for (unsigned t = 0; t < n_near; ++t) {
            sum = plus(sum, times(x->tap[t], near[t]));
            squares = plus(squares, times(near[t], near[t]));
        }
        const int64_t prediction = plus(times(sum, 16), times(x->tap[N_NEAR], average)) >> 16;
        const int64_t power = plus(times(squares, 256), average * average + power_floor);
        if (has_kernel && power <= 0) {
            return SQZ_STREAM;
        }
        const uint64_t expecting = (absolute(prediction) * x->per_mean) >> 16;
        const uint32_t expected = expecting < 15 ? (uint32_t)expecting : 15;
        /* Contexts */
        uint32_t *q0 = x->counters[0], *q1 = x->counters[1], *q2 = x->counters[2];
        if (x->context_set) {
            const uint32_t a = x->logs[sqz_min((uint32_t)at->mag >> 7, LARGEST)], b = x->logs[sqz_min((uint32_t)x->row >> 7, LARGEST)];
            const uint32_t excess = a + b > x->log_mean ? sqz_min(47, a + b - x->log_mean) >> 1 : 0;
            q0 += ((a >> 1) * x->n_logs + (b >> 1)) * n_decisions;
            q1 += (16 * clipped(left) + 4 * clipped(left2) + clipped(up)) * n_decisions;
            q2 += (expected * x->n_excess + excess) * n_decisions;
        }
        /* Decisions */
        int32_t level = 0, magnitude = 0;
        if (decide(x, x->mixers, q0, q1, q2)) {
            const uint32_t node = read_magnitude(x, q0, q1, q2);
            if (node == 0) {
                return SQZ_STREAM;
            }
            uint32_t *s0 = x->signs[0], *s1 = x->signs[1], *s2 = x->signs[2];
            if (x->context_set) {
                s0 += 9 * three(above) + 3 * three(above2) + three(left);
                s1 += 9 * (9 * three(left) + 3 * three(left2) + three(up)) + (has_kernel ? sqz_min(8, x->p) : 0);
                s2 += 4 * (prediction >= 0 ? 16 + expected : 16 - expected) + sqz_min(4, node) - 1;
            }
            const int32_t minus = -(int32_t)decide(x, x->mixers + n_decisions, s0, s1, s2);
            magnitude = (int32_t)node;
            level = (magnitude ^ minus) - minus;
            if (node > (minus ? x->n_negative : x->n_positive)) {
                return SQZ_STREAM;
            }
        }
        levels[i] = level;
        /* What the next weights know of it */
        const int64_t gain = gain_of(16 * level - prediction, (uint64_t)power);
        for (unsigned t = 0; t < n_near; ++t) {
            x->tap[t] = plus(x->tap[t], times(gain, near[t]) >> 1); /* 16 gain near[t] >> 5 */
        }
        x->tap[N_NEAR] = plus(x->tap[N_NEAR], times(gain, average) >> 5);
        at->mag = towards(at->mag, 4096 * magnitude, column_rate);
        at->avg = towards(at->avg, 4096 * level, column_rate);
        x->row = towards(x->row, 4096 * magnitude, x->row_rates[sqz_min(x->c, LAST_RATE)]);
        at->levels[odd] = (int16_t)level;
        x->left2 = left, x->left = level;
        ++x->c;
        if (has_kernel) {
            x->sofar += level;
            ++x->p;
            if (++x->px == x->width) {
                x->px = 0;
                x->left = x->left2 = 0;
            }
            if (x->p == x->kernel) {
                x->p = 0;
                x->sofar = 0;
            }
        }
    }
    return SQZ_OK;
}

sqz_status sqz_context_read(struct sqz_context *x, int32_t *levels, uint32_t n) {
    while (n > 0) {
        const uint32_t part = sqz_min(n, x->columns - x->c);
#if defined(SQZ_SMALL)
        SQZ_TRY(read_row(x, levels, part, x->kernel > 1));
#else
        SQZ_TRY(x->kernel > 1 ? read_row(x, levels, part, 1) : read_row(x, levels, part, 0));
#endif
        levels += part;
        n -= part;
        if (x->c == x->columns) {
            begin_row(x);
            x->r = x->r == 15 ? 14 : x->r + 1;
        }
    }
    return x->n_zeros <= SQZ_READ_AHEAD ? SQZ_OK : SQZ_STREAM;
}
