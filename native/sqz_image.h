/* From a picture to the square that a net takes: the short side to `resize`, bilinear and antialiased, and the middle of it.
 * Gives the pixels that Pillow's Image.resize(BILINEAR) gives, and so those of `squeeze-compress predict`: across first, then down.
 * (Of pictures over twice as tall as wide Pillow 13 goes down first, which rounds some pixels otherwise, by 1.) For hosts: takes the
 * memory of a strip of the picture, and float64. */

#ifndef SQZ_IMAGE_H
#define SQZ_IMAGE_H

#include "sqz.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of work memory; 0 for sizes that are refused. channels: 1 or 3. */
size_t sqz_crop_memory(uint32_t width, uint32_t height, uint32_t channels, uint32_t resize, uint32_t side);

/* pixels: (height, width, channels), 8 bits. square: room for side * side * channels. work: of the alignment of int32_t.
 * SQZ_ARGUMENT for a picture without pixels, of over 2^28 of them, or of other channels; for side above resize. */
sqz_status sqz_crop(const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels, uint32_t resize, uint32_t side,
                    void *work, size_t work_size, uint8_t *square);

#ifdef __cplusplus
}
#endif

#endif
