#include "sqz_gemm.h"

#include <float.h>
#include <string.h>

/* Vectors: where an expression of floats is one of floats, as on all machines but a few. */
#if defined(SQZ_LANES) && defined(__GNUC__) && FLT_EVAL_METHOD == 0

#define N_VECTORS (SQZ_NR / SQZ_LANES)

typedef float vector __attribute__((vector_size(4 * SQZ_LANES)));

/* The loops over rows and vectors are unrolled, or the sums would not stay in registers. */
#define UNROLLED _Pragma("GCC unroll 16")

void sqz_gemm(size_t n, const float *a, const float *b, float *c) {
    vector sums[SQZ_MR][N_VECTORS];
    UNROLLED for (int i = 0; i < SQZ_MR; i++) {
        UNROLLED for (int v = 0; v < N_VECTORS; v++) sums[i][v] = (vector){0};
    }
    for (size_t k = 0; k < n; k++, a += SQZ_MR, b += SQZ_NR) {
        vector columns[N_VECTORS];
        UNROLLED for (int v = 0; v < N_VECTORS; v++) memcpy(&columns[v], b + v * SQZ_LANES, sizeof(vector));
        UNROLLED for (int i = 0; i < SQZ_MR; i++) {
            UNROLLED for (int v = 0; v < N_VECTORS; v++) sums[i][v] += a[i] * columns[v];
        }
    }
    UNROLLED for (int i = 0; i < SQZ_MR; i++) {
        UNROLLED for (int v = 0; v < N_VECTORS; v++) memcpy(c + i * SQZ_NR + v * SQZ_LANES, &sums[i][v], sizeof(vector));
    }
}

#else

void sqz_gemm(size_t n, const float *a, const float *b, float *c) {
    float sums[SQZ_MR][SQZ_NR];
    for (int i = 0; i < SQZ_MR; i++) {
        for (int j = 0; j < SQZ_NR; j++) sums[i][j] = 0.0f;
    }
    for (size_t k = 0; k < n; k++) {
        for (int i = 0; i < SQZ_MR; i++) {
            for (int j = 0; j < SQZ_NR; j++) sums[i][j] += a[k * SQZ_MR + (size_t)i] * b[k * SQZ_NR + (size_t)j];
        }
    }
    memcpy(c, sums, sizeof sums);
}

#endif
