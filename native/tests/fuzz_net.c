/* libFuzzer on the net of a .sqz file: its metadata and shapes, and a small one is run. Half of the mutations have their checksums made
 * right again.
 *
 *     fuzz_net CORPUS -runs=2000000 */

#include <stdlib.h>

#include "../sqz_net.h"
#include "whole.h"

enum { MAX_WEIGHTS = 1 << 14, MAX_MEMORY = 1 << 18, MAX_SIDE = 64, MAX_CLASSES = 64, MAX_RANGES = 1 + 2 * SQZ_MAX_FIRES };

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

/* In memory of the very size that it asks for. */
static void run(const sqz_net *net, sqz_mode mode) {
    static const uint8_t pixels[MAX_SIDE * MAX_SIDE * SQZ_MAX_CHANNELS] = {0};
    const sqz_image image = {pixels, NULL};
    const size_t size = sqz_net_memory(net, mode);
    float ranges[MAX_RANGES], logits[MAX_CLASSES];
    if (size == 0 || size > MAX_MEMORY) {
        return;
    }
    for (size_t i = 0; i < sqz_net_n_ranges(net); ++i) {
        ranges[i] = 1.0f;
    }
    void *const memory = malloc(size);
    if (memory != NULL) {
        sqz_net_run(net, mode, NULL, ranges, &image, memory, size, logits);
    }
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sqz_file file;
    sqz_net net;
    if (sqz_open(&file, data, size, MAX_WEIGHTS) == SQZ_OK && sqz_net_open(&net, &file) == SQZ_OK) {
        sqz_step step;
        for (size_t i = 0; i < sqz_net_n_steps(&net); ++i) {
            sqz_net_step(&net, SQZ_STREAMED_8, i, &step);
        }
        if (net.side <= MAX_SIDE && net.classes <= MAX_CLASSES) {
            run(&net, SQZ_STREAMED);
            run(&net, SQZ_STREAMED_8);
        }
    }
    return 0;
}
