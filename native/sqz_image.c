#include "sqz_image.h"

#include <string.h>

#define BITS 22               /* of a weight's fraction; weights of 8-bit pixels fit an int32_t with them */
#define LONGEST_ASPECT 4u     /* of a longer picture only the middle is scaled */
#define MOST_PIXELS (1u << 28)

/* One direction: `in` pixels become `out`, of which `n` are wanted, from `first`. skipped: of the picture, before its first. */
typedef struct axis {
    uint32_t skipped, in, out, first, n;
} axis;

/* To the nearest whole number, halves to the even one (Python's round). */
static uint32_t rounded(double value) {
    const uint32_t below = (uint32_t)value;
    const double rest = value - below;
    return below + (rest > 0.5 || (rest == 0.5 && below % 2 == 1) ? 1u : 0u);
}

static axis axis_of(uint32_t size, uint32_t shortest, uint32_t resize, uint32_t side) {
    axis a = {0, size, 0, 0, side};
    if (size / LONGEST_ASPECT > shortest || (size / LONGEST_ASPECT == shortest && size % LONGEST_ASPECT != 0)) {
        a.in = LONGEST_ASPECT * shortest;
        a.skipped = (size - a.in) / 2;
    }
    a.out = rounded(a.in * ((double)resize / shortest));
    if (a.out < side) a.out = side;
    a.first = (a.out - side) / 2;
    return a;
}

/* How many pixels one of the result is made of, at most. */
static uint32_t most_taps(const axis *a) {
    const double scale = (double)a->in / a->out;
    const double support = scale < 1 ? 1 : scale;
    uint32_t whole = (uint32_t)support;
    if (whole < support) whole++;
    return 2 * whole + 1;
}

/* The weights of the pixels that pixel i of the result is made of: a triangle as wide as the scale. Returns their number. */
static uint32_t taps_of(const axis *a, uint32_t i, uint32_t *first, int32_t *taps) {
    const double scale = (double)a->in / a->out, width = scale < 1 ? 1 : scale, centre = (i + 0.5) * scale;
    const double begin = centre - width + 0.5, end = centre + width + 0.5;
    const uint32_t from = begin > 0 ? (uint32_t)begin : 0, to = end < a->in ? (uint32_t)end : a->in;
    double sum = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t x = from; x < to; x++) {
            double distance = (x - centre + 0.5) * (1.0 / width);
            if (distance < 0) distance = -distance;
            const double weight = distance < 1 ? 1 - distance : 0;
            if (pass == 0)
                sum += weight;
            else
                taps[x - from] = (int32_t)(0.5 + weight / sum * (1 << BITS));
        }
    }
    *first = from;
    return to - from;
}

static uint8_t clipped(int32_t sum) {
    const int32_t value = sum >> BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

size_t sqz_crop_memory(uint32_t width, uint32_t height, uint32_t channels, uint32_t resize, uint32_t side) {
    if (width == 0 || height == 0 || (uint64_t)width * height > MOST_PIXELS || (channels != 1 && channels != 3) || side == 0 ||
        resize < side || resize > 1u << 15)
        return 0;
    const uint32_t shortest = width < height ? width : height;
    const axis x = axis_of(width, shortest, resize, side), y = axis_of(height, shortest, resize, side);
    const uint32_t taps_x = most_taps(&x), taps_y = most_taps(&y);
    return (size_t)(taps_x > taps_y ? taps_x : taps_y) * sizeof(int32_t) + (size_t)y.in * side * channels;
}

sqz_status sqz_crop(const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels, uint32_t resize, uint32_t side,
                    void *work, size_t work_size, uint8_t *square) {
    const size_t needed = sqz_crop_memory(width, height, channels, resize, side);
    if (needed == 0) return SQZ_ARGUMENT;
    if (work_size < needed) return SQZ_MEMORY;
    const uint32_t shortest = width < height ? width : height;
    const axis x = axis_of(width, shortest, resize, side), y = axis_of(height, shortest, resize, side);
    int32_t *taps = work;
    uint8_t *strip = (uint8_t *)work + (needed - (size_t)y.in * side * channels); /* (y.in, side, channels) */
    uint32_t first, n;
    for (uint32_t i = 0; i < side; i++) {
        n = taps_of(&x, x.first + i, &first, taps);
        for (uint32_t row = 0; row < y.in; row++) {
            const uint8_t *from = pixels + (((size_t)y.skipped + row) * width + x.skipped + first) * channels;
            for (uint32_t c = 0; c < channels; c++) {
                int32_t sum = 1 << (BITS - 1);
                for (uint32_t k = 0; k < n; k++) sum += taps[k] * from[(size_t)k * channels + c];
                strip[((size_t)row * side + i) * channels + c] = clipped(sum);
            }
        }
    }
    const size_t row_size = (size_t)side * channels;
    for (uint32_t i = 0; i < side; i++) {
        n = taps_of(&y, y.first + i, &first, taps);
        for (size_t j = 0; j < row_size; j++) {
            int32_t sum = 1 << (BITS - 1);
            for (uint32_t k = 0; k < n; k++) sum += taps[k] * strip[(first + k) * row_size + j];
            square[i * row_size + j] = clipped(sum);
        }
    }
    return SQZ_OK;
}
