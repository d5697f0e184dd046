/* Runs the SqueezeNet of a .sqz file: convolutions by im2col in panels and a blocked product, Fire modules, max pools, identity
 * bypass and 1x1 bypass, the global average.
 *
 * The caller owns all memory. Weights come in one of two ways: decoded once into memory of the caller's (sqz_net_load), which is
 * fast; or a few rows at a time while the net runs, straight from the file, so that they never all sit in RAM. Activations are
 * float32, or 8 bits a value (stored so; sums are float32), for which the caller gives the largest value of each.
 * conv1 and the pool after it are one step: conv1's own output never exists.
 *
 *     sqz_net net;
 *     sqz_status status = sqz_net_open(&net, &file);
 *     size_t size = sqz_net_memory(&net, SQZ_STREAMED);
 *     status = sqz_net_run(&net, SQZ_STREAMED, NULL, NULL, &image, memory, size, logits); */

#ifndef SQZ_NET_H
#define SQZ_NET_H

#include "sqz.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SQZ_MAX_FIRES = 64, SQZ_MAX_CHANNELS = 4 };

typedef enum sqz_bypass { SQZ_NO_BYPASS, SQZ_IDENTITY, SQZ_CONV_BYPASS } sqz_bypass;

typedef struct sqz_fire {
    uint16_t number; /* in `features`, as the tensors' names have it */
    uint16_t squeeze, expand1x1, expand3x3; /* filters */
    uint8_t bypass;     /* an sqz_bypass */
    uint8_t pool_after; /* whether a max pool follows */
} sqz_fire;

/* The net as the file's metadata and shapes have it. */
typedef struct sqz_net {
    const sqz_file *file;
    uint32_t side, resize;      /* pixels: of the square image, and of the short side that it is cropped from */
    uint32_t classes;
    uint32_t channels;          /* of the image: 3, or 1 for grey */
    int is_bgr;                 /* the net takes blue first; images are always given with red first */
    float scale[SQZ_MAX_CHANNELS], shift[SQZ_MAX_CHANNELS]; /* a pixel v of 0..255 is v * scale + shift, in the net's order */
    uint32_t conv1_filters, conv1_kernel, conv1_stride;
    int conv1_pool, conv10_padding, conv10_relu;
    uint32_t n_fires;
    sqz_fire fires[SQZ_MAX_FIRES];
} sqz_net;

/* Reads metadata and shapes. SQZ_UNSUPPORTED for a net that is no SqueezeNet, SQZ_SHAPE where a tensor does not fit it. */
sqz_status sqz_net_open(sqz_net *net, const sqz_file *file);

typedef enum sqz_mode {
    SQZ_RESIDENT,   /* weights in memory, float32 activations */
    SQZ_STREAMED,   /* weights from the file, float32 activations */
    SQZ_STREAMED_8, /* weights from the file, activations of 8 bits */
    SQZ_RESIDENT_8  /* weights in memory, activations of 8 bits */
} sqz_mode;

/* An image of net->side x net->side. One of the two: pixels, 8 bits, interleaved, red first (or grey); or values, float32, a plane
 * a channel, as the net takes them. */
typedef struct sqz_image {
    const uint8_t *pixels;
    const float *values;
} sqz_image;

/* Bytes of memory that sqz_net_run takes: activations, and what a layer works with. The image is the caller's; it may lie in the
 * last side * side * channels bytes of this memory. */
size_t sqz_net_memory(const sqz_net *net, sqz_mode mode);

/* Bytes of memory for all weights, and their decoding into it. work: sqz_required_memory(file, NULL) bytes. Both of any alignment
 * that floats have. */
size_t sqz_net_weights_size(const sqz_net *net);
sqz_status sqz_net_load(const sqz_net *net, float *weights, size_t size, void *work, size_t work_size);

/* Largest values of activations of 8 bits, in this order: conv1, then of each Fire module its squeeze and its output. */
size_t sqz_net_n_ranges(const sqz_net *net);

/* weights: of sqz_net_load, for SQZ_RESIDENT*; else NULL. ranges: for SQZ_*_8; else NULL. memory: of the alignment of float.
 * logits: net->classes of them. */
sqz_status sqz_net_run(const sqz_net *net, sqz_mode mode, const float *weights, const float *ranges, const sqz_image *image,
                       void *memory, size_t size, float *logits);

/* As sqz_net_run in float32, and raises ranges[i], which begin at 0, to what this image needs: calibration. */
sqz_status sqz_net_calibrate(const sqz_net *net, sqz_mode mode, const float *weights, float *ranges, const sqz_image *image,
                             void *memory, size_t size, float *logits);

/* One step of the net, for tables of memory. */
typedef struct sqz_step {
    uint32_t fire;      /* 0: conv1 and its pool; 1 ..: the Fire module of this number; n_fires + 1: conv10 and the average */
    uint32_t channels, side; /* of its output, a pool after it counted */
    size_t activations; /* bytes live at once */
    size_t work;        /* bytes beside them: rows of weights, a panel of inputs, the decoder */
} sqz_step;

size_t sqz_net_n_steps(const sqz_net *net);
sqz_status sqz_net_step(const sqz_net *net, sqz_mode mode, size_t index, sqz_step *step);

#ifdef __cplusplus
}
#endif

#endif
