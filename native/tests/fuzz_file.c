/* libFuzzer on a .sqz file. Half of the mutations have their checksums made right again, so that the parser behind them is reached.
 *
 *     fuzz_file CORPUS -runs=2000000 */

#include <string.h>

#include "whole.h"

enum { MAX_WEIGHTS = 1 << 16 }; /* of a file: more would only take time */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    size = LLVMFuzzerMutate(data, size, max_size);
    if (seed & 1) {
        whole_fix(data, size, MAX_WEIGHTS);
    }
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t digest[SQZ_SHA256_SIZE];
    whole_decode(data, size, MAX_WEIGHTS, digest);
    return 0;
}
