/* What the page of `squeeze-compress export --to web` calls. The page lays out the memory: it grows it, and says where things are. */

#include "../sqz_image.h"
#include "../sqz_net.h"

#define EXPORTED(name) __attribute__((export_name(#name)))

static sqz_file file;
static sqz_net net;

EXPORTED(open) int web_open(const uint8_t *data, size_t size) {
    sqz_status status = sqz_open(&file, data, size, 0);
    if (status == SQZ_OK) status = sqz_verify(&file);
    if (status == SQZ_OK) status = sqz_net_open(&net, &file);
    return (int)status;
}

EXPORTED(status_name) const char *web_status_name(int status) { return sqz_status_name((sqz_status)status); }
EXPORTED(status_text) const char *web_status_text(int status) { return sqz_status_text((sqz_status)status); }

EXPORTED(side) uint32_t web_side(void) { return net.side; }
EXPORTED(channels) uint32_t web_channels(void) { return net.channels; }
EXPORTED(classes) uint32_t web_classes(void) { return net.classes; }
EXPORTED(work_size) size_t web_work_size(void) { return sqz_required_memory(&file, NULL); }
EXPORTED(weights_size) size_t web_weights_size(void) { return sqz_net_weights_size(&net); }
EXPORTED(memory_size) size_t web_memory_size(void) { return sqz_net_memory(&net, SQZ_RESIDENT); }

EXPORTED(load) int web_load(float *weights, void *work) {
    return (int)sqz_net_load(&net, weights, web_weights_size(), work, web_work_size());
}

EXPORTED(crop_size) size_t web_crop_size(uint32_t width, uint32_t height) {
    return sqz_crop_memory(width, height, net.channels, net.resize, net.side);
}

EXPORTED(crop) int web_crop(const uint8_t *pixels, uint32_t width, uint32_t height, void *work, uint8_t *square) {
    return (int)sqz_crop(pixels, width, height, net.channels, net.resize, net.side, work, web_crop_size(width, height), square);
}

EXPORTED(run) int web_run(const float *weights, const uint8_t *square, void *memory, float *logits) {
    const sqz_image image = {square, NULL};
    return (int)sqz_net_run(&net, SQZ_RESIDENT, weights, NULL, &image, memory, web_memory_size(), logits);
}
