/* What the net sees in its example picture, or in a picture of its own size: ./model [PICTURE.ppm] */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "sqz_net.h"

static float memory[(MODEL_MEMORY + sizeof(float) - 1) / sizeof(float)];
static float logits[MODEL_CLASSES];
static sqz_file file;
static sqz_net net;

static int failed(sqz_status status) {
    fprintf(stderr, "error: %s: %s\n", sqz_status_name(status), sqz_status_text(status));
    return 1;
}

/* A binary PPM or PGM of the net's own size, without comments. */
static int read_picture(const char *path, uint8_t *pixels, size_t size) {
    unsigned width = 0, height = 0, most = 0;
    char kind = 0;
    FILE *picture = fopen(path, "rb");
    if (picture == NULL) return 0;
    const int is_read = fscanf(picture, "P%c %u %u %u", &kind, &width, &height, &most) == 4 && fgetc(picture) != EOF &&
                        kind == (MODEL_CHANNELS == 3 ? '6' : '5') && width == MODEL_SIDE && height == MODEL_SIDE && most == 255 &&
                        fread(pixels, 1, size, picture) == size;
    fclose(picture);
    return is_read;
}

int main(int argc, char **argv) {
    const size_t size = (size_t)MODEL_SIDE * MODEL_SIDE * MODEL_CHANNELS;
    sqz_image image = {model_picture, NULL};
    sqz_status status;
    if (argc > 1) {
        uint8_t *pixels = malloc(size);
        if (pixels == NULL || !read_picture(argv[1], pixels, size)) {
            fprintf(stderr, "error: %s: is no binary PPM of %d x %d pixels\n", argv[1], MODEL_SIDE, MODEL_SIDE);
            return 1;
        }
        image.pixels = pixels;
    }
    if ((status = sqz_open(&file, model, MODEL_SIZE, 0)) != SQZ_OK) return failed(status);
    if ((status = sqz_verify(&file)) != SQZ_OK) return failed(status);
    if ((status = sqz_net_open(&net, &file)) != SQZ_OK) return failed(status);
    status = sqz_net_run(&net, MODEL_MODE, NULL, model_ranges, &image, memory, sizeof memory, logits);
    if (status != SQZ_OK) return failed(status);
    for (int rank = 0; rank < 5 && rank < MODEL_CLASSES; rank++) {
        int best = 0;
        for (int i = 1; i < MODEL_CLASSES; i++)
            if (logits[i] > logits[best]) best = i;
        printf("%10.4f  %d %s\n", (double)logits[best], best, model_classes[best]);
        logits[best] = -1e30f;
    }
    return 0;
}
