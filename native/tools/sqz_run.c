/* sqz-run FILE IMAGE.ppm: what the net of a .sqz file sees in a picture.
 *
 *   --top N         the N likeliest classes (5)
 *   --streamed      weights from the file while the net runs; else they are decoded first
 *   --ranges FILE   activations of 8 bits, whose largest values FILE has, a number a line (`squeeze-compress export --to c` makes it)
 *   --logits        every logit, a line each, instead
 *   --memory        the memory of each step, instead of running; without IMAGE
 *   --time N        N times, and the milliseconds of each step of the work
 *
 * IMAGE is a binary PPM (P6) or PGM (P5) of 8 bits. Exit code 1 for a file or a picture that is refused, 2 for a wrong command. */

#define _POSIX_C_SOURCE 199309L

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../sqz_image.h"
#include "../sqz_net.h"

static void fail(const char *file, const char *what) {
    fprintf(stderr, "error: %s: %s\n", file, what);
    exit(1);
}

static void check(const char *file, sqz_status status) {
    if (status == SQZ_OK) return;
    fprintf(stderr, "error: %s: %s: %s\n", file, sqz_status_name(status), sqz_status_text(status));
    exit(1);
}

static void *take(size_t size) {
    void *memory = malloc(size > 0 ? size : 1);
    if (memory == NULL) fail("memory", "there is not enough");
    return memory;
}

static uint8_t *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t room = 0;
    *size = 0;
    if (file == NULL) fail(path, "cannot be read");
    for (size_t n = 1; n > 0; *size += n) {
        if (*size == room) {
            room = room > 0 ? 2 * room : 1 << 16;
            data = realloc(data, room);
            if (data == NULL) fail(path, "is too large");
        }
        n = fread(data + *size, 1, room - *size, file);
        if (n == 0 && ferror(file)) fail(path, "cannot be read");
    }
    fclose(file);
    return data;
}

/* A number of the header, after white space and comments; at least 2^28 where it is too large. */
static uint32_t number_at(const uint8_t *data, size_t size, size_t *at) {
    uint32_t number = 0;
    for (int in_comment = 0; *at < size && (in_comment || data[*at] == '#' || data[*at] <= ' '); (*at)++)
        in_comment = data[*at] == '#' || (in_comment && data[*at] != '\n');
    for (; *at < size && data[*at] >= '0' && data[*at] <= '9'; (*at)++)
        if (number < 1u << 28) number = 10 * number + (uint32_t)(data[*at] - '0');
    return number;
}

typedef struct picture {
    uint8_t *file;
    const uint8_t *pixels;
    uint32_t width, height, channels;
} picture;

static picture read_picture(const char *path) {
    size_t size, at = 2;
    picture p = {read_file(path, &size), NULL, 0, 0, 0};
    if (size < 2 || p.file[0] != 'P' || (p.file[1] != '5' && p.file[1] != '6')) fail(path, "is no binary PPM or PGM (P6, P5)");
    p.channels = p.file[1] == '6' ? 3 : 1;
    p.width = number_at(p.file, size, &at);
    p.height = number_at(p.file, size, &at);
    if (number_at(p.file, size, &at) != 255) fail(path, "must have 8 bits a sample");
    at++;
    if (p.width == 0 || p.height == 0 || (uint64_t)p.width * p.height > 1u << 28) fail(path, "has no pixels, or too many");
    if (size < at || size - at < (size_t)p.width * p.height * p.channels) fail(path, "is truncated");
    p.pixels = p.file + at;
    return p;
}

/* As the net takes it: colour or grey, cropped. */
static uint8_t *square_of(const sqz_net *net, const char *path) {
    picture p = read_picture(path);
    uint8_t *square = take((size_t)net->side * net->side * net->channels);
    if (p.channels != net->channels) fail(path, net->channels == 3 ? "is grey; the net takes colour" : "is colour; the net takes grey");
    const size_t size = sqz_crop_memory(p.width, p.height, p.channels, net->resize, net->side);
    void *work = take(size);
    check(path, sqz_crop(p.pixels, p.width, p.height, p.channels, net->resize, net->side, work, size, square));
    free(work);
    free(p.file);
    return square;
}

static float *read_ranges(const sqz_net *net, const char *path) {
    const size_t n = sqz_net_n_ranges(net);
    float *ranges = take(n * sizeof(float));
    FILE *file = fopen(path, "r");
    double value;
    size_t found = 0;
    if (file == NULL) fail(path, "cannot be read");
    while (fscanf(file, "%lf", &value) == 1) {
        if (found < n) ranges[found] = (float)value;
        found++;
    }
    fclose(file);
    if (found != n) fail(path, "has not as many numbers as the net has activations");
    return ranges;
}

static double milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

static void print_memory(const sqz_net *net, sqz_mode mode) {
    printf("%-8s %10s %6s %14s %14s\n", "step", "channels", "side", "activations", "beside them");
    for (size_t i = 0; i < sqz_net_n_steps(net); i++) {
        char name[16];
        sqz_step step;
        check("step", sqz_net_step(net, mode, i, &step));
        if (i == 0)
            snprintf(name, sizeof name, "conv1");
        else if (i <= net->n_fires)
            snprintf(name, sizeof name, "fire%u", (unsigned)i + 1);
        else
            snprintf(name, sizeof name, "conv10");
        printf("%-8s %10u %6u %14lu %14lu\n", name, (unsigned)step.channels, (unsigned)step.side, (unsigned long)step.activations,
               (unsigned long)step.work);
    }
    printf("all of it %lu bytes, the image counted\n", (unsigned long)sqz_net_memory(net, mode));
    if (mode == SQZ_RESIDENT || mode == SQZ_RESIDENT_8) printf("weights   %lu bytes\n", (unsigned long)sqz_net_weights_size(net));
}

/* The name of a class, where the metadata list them. */
static void class_name(const sqz_net *net, uint32_t i, char *name, size_t size) {
    sqz_json classes, item;
    if (sqz_json_member(sqz_json_of(net->file), "classes", &classes) != SQZ_OK || sqz_json_type(classes) != 'a' ||
        sqz_json_item(classes, i, &item) != SQZ_OK || sqz_json_string(item, name, size) != SQZ_OK)
        name[0] = 0;
}

static void print_top(const sqz_net *net, const float *logits, uint32_t top) {
    double sum = 0;
    float most = logits[0];
    char *taken = take(net->classes);
    memset(taken, 0, net->classes);
    for (uint32_t i = 1; i < net->classes; i++) most = logits[i] > most ? logits[i] : most;
    for (uint32_t i = 0; i < net->classes; i++) sum += exp((double)logits[i] - most);
    for (uint32_t rank = 0; rank < top && rank < net->classes; rank++) {
        char name[256];
        uint32_t best = 0;
        while (taken[best]) best++;
        for (uint32_t i = best; i < net->classes; i++)
            if (!taken[i] && logits[i] > logits[best]) best = i;
        taken[best] = 1;
        class_name(net, best, name, sizeof name);
        printf("%6.2f%%  %u %s\n", 100 * exp((double)logits[best] - most) / sum, (unsigned)best, name);
    }
    free(taken);
}

int main(int argc, char **argv) {
    const char *places[2] = {NULL, NULL}, *ranges_path = NULL;
    int n_places = 0, is_streamed = 0, all_logits = 0, memory_only = 0;
    long top = 5, n_times = 1;
    size_t size;
    sqz_file file;
    sqz_net net;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--streamed") == 0)
            is_streamed = 1;
        else if (strcmp(argv[i], "--logits") == 0)
            all_logits = 1;
        else if (strcmp(argv[i], "--memory") == 0)
            memory_only = 1;
        else if (strcmp(argv[i], "--ranges") == 0 && i + 1 < argc)
            ranges_path = argv[++i];
        else if (strcmp(argv[i], "--top") == 0 && i + 1 < argc)
            top = strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--time") == 0 && i + 1 < argc)
            n_times = strtol(argv[++i], NULL, 10);
        else if (argv[i][0] != '-' && n_places < 2)
            places[n_places++] = argv[i];
        else
            n_places = 3;
    }
    if (n_places != (memory_only ? 1 : 2) || top < 1 || n_times < 1) {
        fprintf(stderr, "usage: sqz-run FILE IMAGE.ppm [--top N] [--streamed] [--ranges FILE] [--logits] [--time N]\n"
                        "       sqz-run FILE --memory [--streamed] [--ranges FILE]\n");
        return 2;
    }
    uint8_t *data = read_file(places[0], &size);
    const double opened = milliseconds();
    check(places[0], sqz_open(&file, data, size, 0));
    check(places[0], sqz_verify(&file));
    check(places[0], sqz_check_metadata(file.metadata, file.metadata_size));
    check(places[0], sqz_net_open(&net, &file));
    const double checked = milliseconds();
    const sqz_mode mode = is_streamed ? (ranges_path ? SQZ_STREAMED_8 : SQZ_STREAMED) : (ranges_path ? SQZ_RESIDENT_8 : SQZ_RESIDENT);
    if (memory_only) {
        print_memory(&net, mode);
        return 0;
    }
    float *ranges = ranges_path != NULL ? read_ranges(&net, ranges_path) : NULL;
    const sqz_image image = {square_of(&net, places[1]), NULL};
    const size_t memory_size = sqz_net_memory(&net, mode);
    void *memory = take(memory_size);
    float *weights = NULL, *logits = take(net.classes * sizeof(float));
    const double begun = milliseconds();
    if (!is_streamed) {
        const size_t weights_size = sqz_net_weights_size(&net), work_size = sqz_required_memory(&file, NULL);
        void *work = take(work_size);
        weights = take(weights_size);
        check(places[0], sqz_net_load(&net, weights, weights_size, work, work_size));
        free(work);
    }
    const double loaded = milliseconds();
    double best = 0;
    for (long i = 0; i < n_times; i++) {
        const double start = milliseconds();
        check(places[0], sqz_net_run(&net, mode, weights, ranges, &image, memory, memory_size, logits));
        const double taken = milliseconds() - start;
        if (i == 0 || taken < best) best = taken;
    }
    if (all_logits)
        for (uint32_t i = 0; i < net.classes; i++) printf("%.9g\n", (double)logits[i]);
    else
        print_top(&net, logits, (uint32_t)top);
    if (n_times > 1)
        fprintf(stderr, "checked in %.1f ms, weights decoded in %.1f ms, run in %.2f ms (the least of %ld)\n", checked - opened,
                loaded - begun, best, n_times);
    return 0;
}
