/* The inner product of the convolutions: SQZ_MR rows of weights by SQZ_NR columns of inputs (Goto & van de Geijn 2008).
 *
 * The tile is as large as the registers of the target hold. SQZ_SMALL is for microcontrollers: 16 sums, 32 registers. */
#ifndef SQZ_GEMM_H
#define SQZ_GEMM_H

#include <stddef.h>

#if defined(SQZ_SMALL)
#define SQZ_MR 4
#define SQZ_NR 4
#elif defined(__AVX512F__)
#define SQZ_MR 8
#define SQZ_NR 32
#define SQZ_LANES 16
#elif defined(__AVX__)
#define SQZ_MR 6
#define SQZ_NR 16
#define SQZ_LANES 8
#else
#define SQZ_MR 4
#define SQZ_NR 8
#define SQZ_LANES 4
#endif

/* c[i][j] = sum over k of a[k][i] b[k][j]. a: (n, SQZ_MR), b: (n, SQZ_NR), c: (SQZ_MR, SQZ_NR), all in C order. */
void sqz_gemm(size_t n, const float *a, const float *b, float *c);

#endif
