#include "sqz_net.h"

#include <string.h>

#include "sqz_gemm.h"

#define ALIGNMENT 16u /* of each part of the memory, in bytes */
#define WHOLE 16384u /* weights of a layer that is decoded before it runs, at most */
#if defined(SQZ_SMALL)
#define GROUP 8u /* rows of weights that are decoded at a time, where they come from the file */
#else
#define GROUP 16u
#endif

#define TRY(call)                                 \
    do {                                          \
        const sqz_status status_ = (call);        \
        if (status_ != SQZ_OK) return status_;    \
    } while (0)

/* ---- The net, from metadata and shapes ---- */

/* "features.", a number, then `rest`. name: room for SQZ_MAX_NAME + 1. */
static void fire_name(char *name, uint32_t number, const char *rest) {
    char digits[10];
    size_t n = 0;
    memcpy(name, "features.", 9);
    do digits[n++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    for (size_t i = 0; i < n; i++) name[9 + i] = digits[n - 1 - i];
    memcpy(name + 9 + n, rest, strlen(rest) + 1);
}

/* A convolution of the net: where its tensors are, and its shape. */
typedef struct conv {
    char weight[48], bias[48];
    uint32_t filters, channels, kernel;
} conv;

static conv conv_of(uint32_t number, const char *layer, uint32_t filters, uint32_t channels, uint32_t kernel) {
    conv made = {{0}, {0}, filters, channels, kernel};
    char rest[24];
    const size_t n = strlen(layer);
    memcpy(rest, layer, n);
    memcpy(rest + n, ".weight", 8);
    fire_name(made.weight, number, rest);
    memcpy(rest + n, ".bias", 6);
    fire_name(made.bias, number, rest);
    return made;
}

static conv conv10(const sqz_net *net, uint32_t channels) {
    conv made = {"classifier.1.weight", "classifier.1.bias", net->classes, channels, 1};
    return made;
}

static conv conv1(const sqz_net *net) { return conv_of(0, "", net->conv1_filters, net->channels, net->conv1_kernel); }

/* The convolutions of a Fire module in the order that they run: squeeze, bypass if it has one, expand3x3, expand1x1. (The larger one
 * first: while it is decoded, all of the output's memory is free.) */
static size_t convs_of(const sqz_fire *fire, uint32_t channels, conv convs[4]) {
    size_t n = 0;
    const uint32_t out = (uint32_t)fire->expand1x1 + fire->expand3x3;
    convs[n++] = conv_of(fire->number, ".squeeze", fire->squeeze, channels, 1);
    if (fire->bypass == SQZ_CONV_BYPASS) convs[n++] = conv_of(fire->number, ".bypass", out, channels, 1);
    convs[n++] = conv_of(fire->number, ".expand3x3", fire->expand3x3, fire->squeeze, 3);
    convs[n++] = conv_of(fire->number, ".expand1x1", fire->expand1x1, fire->squeeze, 1);
    return n;
}

static sqz_status filters_of(const sqz_net *net, uint32_t number, const char *rest, uint16_t *filters) {
    char name[64];
    sqz_tensor tensor;
    fire_name(name, number, rest);
    TRY(sqz_find(net->file, name, &tensor));
    if (tensor.n_dims != 4 || tensor.dims[0] > UINT16_MAX) return SQZ_SHAPE;
    *filters = (uint16_t)tensor.dims[0];
    return SQZ_OK;
}

static sqz_status check_shape(const sqz_net *net, const conv *c) {
    sqz_tensor tensor;
    TRY(sqz_find(net->file, c->weight, &tensor));
    if (tensor.n_dims != 4 || tensor.dims[0] != c->filters || tensor.dims[1] != c->channels || tensor.dims[2] != c->kernel ||
        tensor.dims[3] != c->kernel || tensor.kind == SQZ_RAW_I64)
        return SQZ_SHAPE;
    TRY(sqz_find(net->file, c->bias, &tensor));
    return tensor.n_dims == 1 && tensor.dims[0] == c->filters && tensor.kind != SQZ_RAW_I64 ? SQZ_OK : SQZ_SHAPE;
}

static sqz_status uint_of(sqz_json object, const char *key, uint32_t most, uint32_t *value) {
    sqz_json found;
    double number;
    if (sqz_json_member(object, key, &found) != SQZ_OK) return SQZ_OK; /* as it is by default */
    TRY(sqz_json_number(found, &number));
    if (!(number >= 0 && number <= most) || number != (double)(uint32_t)number) return SQZ_UNSUPPORTED;
    *value = (uint32_t)number;
    return SQZ_OK;
}

static sqz_status read_input(sqz_net *net, sqz_json input) {
    sqz_json found;
    double scale = 1;
    float mean[SQZ_MAX_CHANNELS], std[SQZ_MAX_CHANNELS];
    net->side = net->resize = 0;
    TRY(uint_of(input, "size", 2048, &net->side));
    TRY(uint_of(input, "resize", 2048, &net->resize));
    if (net->side == 0 || net->resize < net->side) return SQZ_UNSUPPORTED;
    TRY(sqz_json_member(input, "channels", &found));
    net->is_bgr = sqz_json_equals(found, "BGR");
    net->channels = sqz_json_equals(found, "L") ? 1 : 3;
    if (!net->is_bgr && net->channels == 3 && !sqz_json_equals(found, "RGB")) return SQZ_UNSUPPORTED;
    if (sqz_json_member(input, "scale", &found) == SQZ_OK) TRY(sqz_json_number(found, &scale));
    TRY(sqz_json_member(input, "mean", &found));
    TRY(sqz_json_numbers(found, mean, net->channels));
    TRY(sqz_json_member(input, "std", &found));
    TRY(sqz_json_numbers(found, std, net->channels));
    for (uint32_t c = 0; c < net->channels; c++) {
        if (!(std[c] > 0)) return SQZ_UNSUPPORTED;
        net->scale[c] = (float)scale / (255.0f * std[c]);
        net->shift[c] = -mean[c] / std[c];
    }
    return SQZ_OK;
}

/* Whether a list of numbers has this one. */
static int has(sqz_json list, uint32_t number) {
    for (size_t i = 0, n = sqz_json_length(list); i < n; i++) {
        sqz_json item;
        double value;
        if (sqz_json_item(list, i, &item) == SQZ_OK && sqz_json_number(item, &value) == SQZ_OK && value == number) return 1;
    }
    return 0;
}

static uint32_t conv_side(uint32_t side, uint32_t kernel, uint32_t stride) { return (side - kernel) / stride + 1; }

/* 3x3, stride 2, a window that begins in the image counts (ceil mode). */
static uint32_t pooled(uint32_t side) { return side / 2; }

static uint32_t conv1_side(const sqz_net *net) { return conv_side(net->side, net->conv1_kernel, net->conv1_stride); }

sqz_status sqz_net_open(sqz_net *net, const sqz_file *file) {
    static const char defaults[2][10] = {"[0,3,7]", "[0,2,4]"};
    const sqz_json metadata = sqz_json_of(file);
    sqz_json architecture, found, pools;
    sqz_tensor tensor;
    int is_v11, is_simple = 0, is_complex = 0;
    memset(net, 0, sizeof *net);
    net->file = file;
    if (sqz_json_find(metadata, "architecture", &architecture) != SQZ_OK ||
        sqz_json_member(architecture, "name", &found) != SQZ_OK || !sqz_json_equals(found, "squeezenet") ||
        sqz_json_member(architecture, "version", &found) != SQZ_OK)
        return SQZ_UNSUPPORTED;
    is_v11 = sqz_json_equals(found, "1.1");
    if (!is_v11 && !sqz_json_equals(found, "1.0")) return SQZ_UNSUPPORTED;
    if (sqz_json_member(metadata, "input", &found) != SQZ_OK || read_input(net, found) != SQZ_OK) return SQZ_UNSUPPORTED;

    net->n_fires = 8;
    net->conv1_stride = 2;
    net->conv10_relu = 1;
    TRY(uint_of(architecture, "n_fires", SQZ_MAX_FIRES, &net->n_fires));
    TRY(uint_of(architecture, "conv1_stride", 8, &net->conv1_stride));
    if (sqz_json_member(architecture, "conv10_padding", &found) == SQZ_OK) {
        uint32_t padding = 0;
        TRY(uint_of(architecture, "conv10_padding", 1, &padding));
        net->conv10_padding = (int)padding;
    }
    if (sqz_json_member(architecture, "conv10_relu", &found) == SQZ_OK) net->conv10_relu = sqz_json_type(found) == 't';
    if (sqz_json_member(architecture, "bypass", &found) == SQZ_OK) {
        is_complex = sqz_json_equals(found, "complex");
        is_simple = sqz_json_equals(found, "simple");
    }
    pools.text = defaults[is_v11];
    pools.size = strlen(pools.text);
    if (sqz_json_member(architecture, "pool_after", &found) == SQZ_OK) pools = found;

    TRY(sqz_find(file, "features.0.weight", &tensor));
    if (tensor.n_dims != 4 || tensor.dims[2] != tensor.dims[3] || tensor.dims[1] != net->channels) return SQZ_SHAPE;
    net->conv1_filters = tensor.dims[0];
    net->conv1_kernel = tensor.dims[2];
    net->conv1_pool = has(pools, 0);
    if (net->n_fires == 0 || net->conv1_stride == 0 || net->conv1_kernel > net->side) return SQZ_UNSUPPORTED;

    uint32_t number = 2u + (uint32_t)net->conv1_pool; /* after conv1, its ReLU and its pool */
    uint32_t side = net->conv1_pool ? pooled(conv1_side(net)) : conv1_side(net);
    uint32_t channels = net->conv1_filters;
    conv convs[4] = {conv1(net)};
    TRY(check_shape(net, &convs[0]));
    for (uint32_t i = 0; i < net->n_fires; i++) {
        sqz_fire *fire = &net->fires[i];
        fire->number = (uint16_t)number++;
        TRY(filters_of(net, fire->number, ".squeeze.weight", &fire->squeeze));
        TRY(filters_of(net, fire->number, ".expand1x1.weight", &fire->expand1x1));
        TRY(filters_of(net, fire->number, ".expand3x3.weight", &fire->expand3x3));
        const uint32_t out = (uint32_t)fire->expand1x1 + fire->expand3x3;
        if ((is_simple || is_complex) && channels == out) fire->bypass = SQZ_IDENTITY;
        if (is_complex && channels != out) fire->bypass = SQZ_CONV_BYPASS;
        for (size_t j = 0, n = convs_of(fire, channels, convs); j < n; j++) TRY(check_shape(net, &convs[j]));
        channels = out;
        fire->pool_after = (uint8_t)has(pools, i + 1);
        if (fire->pool_after) {
            number++;
            side = pooled(side);
        }
        if (side == 0) return SQZ_UNSUPPORTED; /* nothing is left of the image */
    }
    TRY(sqz_find(file, "classifier.1.weight", &tensor));
    if (tensor.n_dims != 4) return SQZ_SHAPE;
    net->classes = tensor.dims[0];
    convs[0] = conv10(net, channels);
    return check_shape(net, &convs[0]);
}

/* ---- Memory ---- */

static size_t aligned(size_t size) { return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static size_t largest(size_t a, size_t b) { return a > b ? a : b; }

static int is_resident(sqz_mode mode) { return mode == SQZ_RESIDENT || mode == SQZ_RESIDENT_8; }

static int is_8(sqz_mode mode) { return mode == SQZ_STREAMED_8 || mode == SQZ_RESIDENT_8; }

static size_t n_inputs(const conv *c) { return (size_t)c->channels * c->kernel * c->kernel; }

static size_t up_to(size_t n, size_t step) { return (n + step - 1) / step * step; }

/* Floats of a convolution's weights and biases, as sqz_net_load lays them down. */
static size_t n_packed(const conv *c) { return up_to(c->filters, SQZ_MR) * n_inputs(c) + up_to(c->filters, SQZ_MR); }

/* Whether all rows of weights are at hand at once: decoded before the convolution begins. */
static int is_whole(const conv *c, sqz_mode mode) {
    return is_resident(mode) || up_to(c->filters, SQZ_MR) * n_inputs(c) <= WHOLE || c->filters <= GROUP;
}

/* Rows of weights that are at hand at a time. */
static uint32_t group_of(const conv *c, sqz_mode mode) {
    return (uint32_t)up_to(is_whole(c, mode) ? c->filters : GROUP, SQZ_MR);
}

/* What a convolution works with, in bytes: its parts follow each other in this order, and then the decoder, unless it has another
 * place. */
typedef struct work {
    size_t panel, bias, rows, row, decoder;
} work;

static work work_of(const sqz_net *net, const conv *c, sqz_mode mode) {
    work w = {aligned(n_inputs(c) * SQZ_NR * sizeof(float)), 0, 0, 0, 0};
    if (!is_resident(mode)) {
        sqz_tensor tensor;
        w.bias = aligned(up_to(c->filters, SQZ_MR) * sizeof(float));
        w.rows = aligned(group_of(c, mode) * n_inputs(c) * sizeof(float));
        w.row = aligned(n_inputs(c) * sizeof(float));
        if (sqz_find(net->file, c->weight, &tensor) == SQZ_OK) w.decoder = sqz_required_memory(net->file, &tensor);
        if (sqz_find(net->file, c->bias, &tensor) == SQZ_OK)
            w.decoder = largest(w.decoder, sqz_required_memory(net->file, &tensor));
        w.decoder = aligned(w.decoder);
    }
    return w;
}

/* Memory that nothing is in yet when a convolution begins: where its output goes, up to `end`. None where both are 0. */
typedef struct gap {
    size_t begin, end;
} gap;

/* Where a convolution's parts begin, where its decoder is, and where all of it ends. */
typedef struct placed {
    size_t parts, decoder, end;
} placed;

/* Weights that are decoded whole are decoded where the output will be, so that the decoder's state takes no memory of its own. */
static placed place(const work *w, size_t at, int whole, gap free) {
    const size_t parts = w->panel + w->bias + w->rows + w->row;
    placed p = {at, at + parts, at + parts + w->decoder};
    if (whole && free.end > free.begin && free.begin + w->decoder <= free.end) {
        p.decoder = free.begin;
        p.parts = free.end == SIZE_MAX ? largest(at, free.begin + w->decoder) : at;
        p.end = p.parts + parts;
    }
    return p;
}

static size_t plane_bytes(uint32_t side, sqz_mode mode) { return (size_t)side * side * (is_8(mode) ? 1 : sizeof(float)); }

static size_t activation_bytes(uint32_t channels, uint32_t side, sqz_mode mode) {
    return aligned(channels * plane_bytes(side, mode));
}

/* Where a step's parts lie in the memory. Its input and its output begin at 0, unless a 1x1 bypass needs both. */
typedef struct layout {
    size_t out, squeezed, ring, work, total;
} layout;

/* conv1: a ring of three rows of its output for the pool. */
static layout layout_of_conv1(const sqz_net *net, sqz_mode mode) {
    const conv c = conv1(net);
    const work w = work_of(net, &c, mode);
    const gap free = {0, SIZE_MAX};
    const uint32_t side = conv1_side(net);
    layout l = {0, 0, 0, 0, 0};
    l.ring = activation_bytes(c.filters, net->conv1_pool ? pooled(side) : side, mode);
    l.work = l.ring + aligned((net->conv1_pool ? 3u : 1u) * (size_t)group_of(&c, mode) * side * sizeof(float));
    l.total = place(&w, l.work, is_whole(&c, mode), free).end;
    return l;
}

/* What is free when convolution i of n of a Fire module begins: all behind the input for the squeeze, the output for the others, what
 * is not written yet, unless it is added to what is there. */
static gap gap_of_fire(const sqz_fire *fire, const layout *l, size_t i, size_t n, size_t plane) {
    gap free = {0, 0};
    if (i == 0) {
        free.begin = l->squeezed;
        free.end = SIZE_MAX;
    } else if (fire->bypass == SQZ_NO_BYPASS || i < n - 2) {
        free.begin = l->out;
        free.end = i == n - 1 ? l->out + fire->expand1x1 * plane : l->squeezed;
    }
    return free;
}

static layout layout_of_fire(const sqz_net *net, const sqz_fire *fire, uint32_t channels, uint32_t side, sqz_mode mode) {
    const size_t in = activation_bytes(channels, side, mode);
    const size_t out = activation_bytes((uint32_t)fire->expand1x1 + fire->expand3x3, side, mode);
    layout l = {0, 0, 0, 0, 0};
    conv convs[4];
    l.out = fire->bypass == SQZ_CONV_BYPASS ? in : 0;
    l.squeezed = fire->bypass == SQZ_CONV_BYPASS ? in + out : largest(in, out);
    l.work = l.squeezed + activation_bytes(fire->squeeze, side, mode);
    for (size_t i = 0, n = convs_of(fire, channels, convs); i < n; i++) {
        const work w = work_of(net, &convs[i], mode);
        const gap free = gap_of_fire(fire, &l, i, n, plane_bytes(side, mode));
        l.total = largest(l.total, place(&w, l.work, is_whole(&convs[i], mode), free).end);
    }
    return l;
}

static layout layout_of_conv10(const sqz_net *net, uint32_t channels, uint32_t side, sqz_mode mode) {
    const conv c = conv10(net, channels);
    const work w = work_of(net, &c, mode);
    const gap none = {0, 0};
    layout l = {0, 0, 0, activation_bytes(channels, side, mode), 0};
    l.total = place(&w, l.work, is_whole(&c, mode), none).end;
    return l;
}

size_t sqz_net_n_steps(const sqz_net *net) { return (size_t)net->n_fires + 2; }

sqz_status sqz_net_step(const sqz_net *net, sqz_mode mode, size_t index, sqz_step *step) {
    uint32_t side = conv1_side(net), channels = net->conv1_filters;
    layout l = layout_of_conv1(net, mode);
    if (index >= sqz_net_n_steps(net)) return SQZ_ARGUMENT;
    if (net->conv1_pool) side = pooled(side);
    for (uint32_t i = 0; i < index && i < net->n_fires; i++) {
        const sqz_fire *fire = &net->fires[i];
        l = layout_of_fire(net, fire, channels, side, mode);
        channels = (uint32_t)fire->expand1x1 + fire->expand3x3;
        if (fire->pool_after) side = pooled(side);
    }
    if (index > net->n_fires) {
        l = layout_of_conv10(net, channels, side, mode);
        channels = net->classes;
        side = 1;
    }
    step->fire = (uint32_t)index;
    step->channels = channels;
    step->side = side;
    step->activations = index == 0 ? l.ring : l.work;
    step->work = l.total - step->activations;
    return SQZ_OK;
}

size_t sqz_net_memory(const sqz_net *net, sqz_mode mode) {
    size_t most = 0;
    for (size_t i = 0; i < sqz_net_n_steps(net); i++) {
        sqz_step step;
        if (sqz_net_step(net, mode, i, &step) != SQZ_OK) continue;
        const size_t image = i == 0 ? aligned((size_t)net->side * net->side * net->channels) : 0;
        most = largest(most, step.activations + step.work + image);
    }
    return most;
}

size_t sqz_net_n_ranges(const sqz_net *net) { return 1 + 2 * (size_t)net->n_fires; }

/* ---- Weights ---- */

/* Rows of a convolution's weights, in the order that sqz_gemm takes them. */
typedef struct rows {
    const conv *conv;
    const float *packed; /* resident: all of them, biases after them */
    const float *bias;
    sqz_tensor tensor;   /* streamed */
    sqz_stream stream;
    float *group, *row;
} rows;

/* Lays the next n rows down by SQZ_MR of them, input by input; missing ones are zeros. */
static sqz_status pack_rows(sqz_stream *stream, uint32_t n, size_t n_in, float *row, float *packed) {
    for (uint32_t i = 0; i < up_to(n, SQZ_MR); i++) {
        float *to = packed + (size_t)(i / SQZ_MR) * SQZ_MR * n_in + i % SQZ_MR;
        if (i < n) TRY(sqz_read(stream, row, n_in));
        for (size_t k = 0; k < n_in; k++) to[k * SQZ_MR] = i < n ? row[k] : 0.0f;
    }
    return SQZ_OK;
}

static sqz_status read_bias(const sqz_net *net, const conv *c, float *bias, void *decoder, size_t decoder_size) {
    sqz_tensor tensor;
    sqz_stream stream;
    TRY(sqz_find(net->file, c->bias, &tensor));
    TRY(sqz_begin(&stream, net->file, &tensor, decoder, decoder_size));
    TRY(sqz_read(&stream, bias, c->filters));
    for (size_t i = c->filters; i < up_to(c->filters, SQZ_MR); i++) bias[i] = 0.0f;
    return sqz_end(&stream);
}

static sqz_status begin_rows(const sqz_net *net, const conv *c, const work *w, int whole, unsigned char *memory, placed p, rows *r) {
    unsigned char *at = memory + p.parts + w->panel;
    float *bias = (float *)(void *)at;
    r->conv = c;
    r->packed = NULL;
    r->bias = bias;
    r->group = (float *)(void *)(at + w->bias);
    r->row = (float *)(void *)(at + w->bias + w->rows);
    TRY(read_bias(net, c, bias, memory + p.decoder, w->decoder));
    TRY(sqz_find(net->file, c->weight, &r->tensor));
    TRY(sqz_begin(&r->stream, net->file, &r->tensor, memory + p.decoder, w->decoder));
    if (whole) {
        TRY(pack_rows(&r->stream, c->filters, n_inputs(c), r->row, r->group));
        TRY(sqz_end(&r->stream));
        r->packed = r->group;
    }
    return SQZ_OK;
}

/* The n rows from `first`: the next ones, where they come from the file. */
static sqz_status next_rows(rows *r, uint32_t first, uint32_t n, const float **packed) {
    if (r->packed != NULL) {
        *packed = r->packed + (size_t)first * n_inputs(r->conv);
        return SQZ_OK;
    }
    *packed = r->group;
    return pack_rows(&r->stream, n, n_inputs(r->conv), r->row, r->group);
}

static sqz_status end_rows(rows *r) { return r->packed != NULL ? SQZ_OK : sqz_end(&r->stream); }

/* Calls f for every convolution in the order that they run. */
typedef sqz_status (*each_conv)(const sqz_net *net, const conv *c, void *user);

static sqz_status for_each_conv(const sqz_net *net, each_conv f, void *user) {
    uint32_t channels = net->conv1_filters;
    conv convs[4] = {conv1(net)};
    TRY(f(net, &convs[0], user));
    for (uint32_t i = 0; i < net->n_fires; i++) {
        const sqz_fire *fire = &net->fires[i];
        for (size_t j = 0, n = convs_of(fire, channels, convs); j < n; j++) TRY(f(net, &convs[j], user));
        channels = (uint32_t)fire->expand1x1 + fire->expand3x3;
    }
    convs[0] = conv10(net, channels);
    return f(net, &convs[0], user);
}

static sqz_status add_size(const sqz_net *net, const conv *c, void *user) {
    (void)net;
    *(size_t *)user += n_packed(c) * sizeof(float);
    return SQZ_OK;
}

/* The largest convolution's row, which is decoded behind the last weights. */
static sqz_status raise_row(const sqz_net *net, const conv *c, void *user) {
    (void)net;
    *(size_t *)user = largest(*(size_t *)user, n_inputs(c) * sizeof(float));
    return SQZ_OK;
}

size_t sqz_net_weights_size(const sqz_net *net) {
    size_t size = 0, row = 0;
    (void)for_each_conv(net, add_size, &size);
    (void)for_each_conv(net, raise_row, &row);
    return size + row;
}

typedef struct loading {
    float *next, *row;
    void *work;
    size_t work_size;
} loading;

static sqz_status load_conv(const sqz_net *net, const conv *c, void *user) {
    loading *l = user;
    sqz_tensor tensor;
    sqz_stream stream;
    TRY(sqz_find(net->file, c->weight, &tensor));
    TRY(sqz_begin(&stream, net->file, &tensor, l->work, l->work_size));
    TRY(pack_rows(&stream, c->filters, n_inputs(c), l->row, l->next));
    TRY(sqz_end(&stream));
    l->next += up_to(c->filters, SQZ_MR) * n_inputs(c);
    TRY(read_bias(net, c, l->next, l->work, l->work_size));
    l->next += up_to(c->filters, SQZ_MR);
    return SQZ_OK;
}

sqz_status sqz_net_load(const sqz_net *net, float *weights, size_t size, void *work_memory, size_t work_size) {
    size_t packed = 0;
    loading l = {weights, weights, work_memory, work_size};
    if (size < sqz_net_weights_size(net)) return SQZ_MEMORY;
    (void)for_each_conv(net, add_size, &packed);
    l.row = weights + packed / sizeof(float);
    return for_each_conv(net, load_conv, &l);
}

/* ---- Activations ---- */

/* Planes of side x side values: float32, or 8 bits, of which one stands for `unit`. */
typedef struct planes {
    void *data;
    uint32_t side;
    int is_8;
    float unit;
} planes;

/* A run of a net. */
typedef struct run {
    const sqz_net *net;
    sqz_mode mode;
    const float *weights; /* of the next convolution */
    const float *ranges;
    float *found; /* calibration: ranges to raise */
    unsigned char *memory;
} run;

static planes planes_at(const run *r, size_t offset, uint32_t side, size_t range) {
    planes p = {r->memory + offset, side, is_8(r->mode), 1.0f};
    if (p.is_8) p.unit = r->ranges[range] / 255.0f;
    return p;
}

/* n values from `at`, in units, into `to`. */
static void get(const planes *from, size_t at, size_t n, float *to) {
    if (from->is_8) {
        const uint8_t *values = (const uint8_t *)from->data + at;
        for (size_t i = 0; i < n; i++) to[i] = values[i];
    } else {
        memcpy(to, (const float *)from->data + at, n * sizeof(float));
    }
}

static float value_at(const planes *from, size_t at) {
    return from->is_8 ? (float)((const uint8_t *)from->data)[at] : ((const float *)from->data)[at];
}

/* Values of 0 or above, where they are stored in 8 bits. */
static void put(const planes *to, size_t at, size_t n, const float *values) {
    if (to->is_8) {
        uint8_t *bytes = (uint8_t *)to->data + at;
        const float per_unit = to->unit > 0.0f ? 1.0f / to->unit : 0.0f;
        for (size_t i = 0; i < n; i++) {
            const float v = values[i] * per_unit + 0.5f;
            bytes[i] = (uint8_t)(v < 255.0f ? v : 255.0f);
        }
    } else {
        memcpy((float *)to->data + at, values, n * sizeof(float));
    }
}

static void raise_range(const run *r, size_t range, const float *values, size_t n) {
    if (r->found == NULL) return;
    for (size_t i = 0; i < n; i++)
        if (values[i] > r->found[range]) r->found[range] = values[i];
}

/* ---- Panels: SQZ_NR columns of inputs, input by input ---- */

static void panel_1x1(const planes *x, const conv *c, size_t first, size_t n, float *panel) {
    const size_t plane = (size_t)x->side * x->side;
    for (uint32_t k = 0; k < c->channels; k++, panel += SQZ_NR) {
        get(x, k * plane + first, n, panel);
        for (size_t j = n; j < SQZ_NR; j++) panel[j] = 0.0f;
    }
}

/* 3x3, a border of one zero around the image. Tap (dy, dx) of output position p reads p + dy side + dx, where that is in its row. */
static void panel_3x3(const planes *x, const conv *c, size_t first, size_t n, float *panel) {
    const size_t side = x->side, plane = side * side;
    uint8_t inside[9][SQZ_NR];
    int all_inside[9];
    for (size_t tap = 0; tap < 9; tap++) all_inside[tap] = 1;
    for (size_t j = 0, y = first / side, x0 = first % side; j < SQZ_NR; j++) {
        for (size_t tap = 0; tap < 9; tap++) {
            const size_t row = y + tap / 3, column = x0 + tap % 3; /* both more by 1 */
            inside[tap][j] = j < n && row >= 1 && row <= side && column >= 1 && column <= side;
            all_inside[tap] &= inside[tap][j];
        }
        if (++x0 == side) {
            x0 = 0;
            y++;
        }
    }
    for (uint32_t k = 0; k < c->channels; k++) {
        for (size_t tap = 0; tap < 9; tap++, panel += SQZ_NR) {
            const size_t shifted = first + tap / 3 * side + tap % 3; /* + side + 1 */
            const int is_within = shifted >= side + 1 && shifted - side - 1 + SQZ_NR <= plane;
            const size_t at = k * plane + shifted - side - 1; /* wraps where it is not within, and is not used then but by j */
            if (is_within) {
                get(x, at, SQZ_NR, panel);
                if (!all_inside[tap])
                    for (size_t j = 0; j < SQZ_NR; j++) panel[j] = inside[tap][j] ? panel[j] : 0.0f;
            } else {
                for (size_t j = 0; j < SQZ_NR; j++) panel[j] = inside[tap][j] ? value_at(x, at + j) : 0.0f;
            }
        }
    }
}

/* conv1, n outputs of row y from column `first`. */
static void panel_of_image(const sqz_net *net, const sqz_image *image, uint32_t y, size_t first, size_t n, float *panel) {
    const size_t side = net->side;
    for (uint32_t k = 0; k < net->channels; k++) {
        const uint32_t from = net->is_bgr ? net->channels - 1 - k : k;
        for (uint32_t ky = 0; ky < net->conv1_kernel; ky++) {
            const size_t row = (size_t)y * net->conv1_stride + ky;
            for (uint32_t kx = 0; kx < net->conv1_kernel; kx++, panel += SQZ_NR) {
                for (size_t j = 0; j < SQZ_NR; j++) {
                    const size_t column = (first + j) * net->conv1_stride + kx;
                    if (j >= n)
                        panel[j] = 0.0f;
                    else if (image->pixels != NULL)
                        panel[j] = (float)image->pixels[(row * side + column) * net->channels + from] * net->scale[k] + net->shift[k];
                    else
                        panel[j] = image->values[(k * side + row) * side + column];
                }
            }
        }
    }
}

/* ---- Convolutions ---- */

/* What becomes of a tile of sums: (SQZ_MR, SQZ_NR), of which `filters` rows from filter `m` and n columns from position p. */
typedef struct sink {
    planes out;
    uint32_t first_filter; /* of this convolution within out: 0, or what an expand1x1 has put before */
    const planes *sum;     /* of the same shape, added to; may be where the output goes; or NULL */
    size_t range;
    float *means;          /* conv10: sums over the image; or NULL */
    int relu;
} sink;

static void finish(const run *r, const sink *s, float *tile, float unit, const float *bias, uint32_t m, uint32_t filters, size_t p,
                   size_t n) {
    const size_t plane = (size_t)s->out.side * s->out.side;
    for (uint32_t i = 0; i < filters; i++) {
        float *values = tile + (size_t)i * SQZ_NR;
        const size_t at = (s->first_filter + m + i) * plane + p;
        const float b = bias[m + i];
        if (s->relu)
            for (size_t j = 0; j < SQZ_NR; j++) {
                const float v = values[j] * unit + b;
                values[j] = v > 0.0f ? v : 0.0f;
            }
        else
            for (size_t j = 0; j < SQZ_NR; j++) values[j] = values[j] * unit + b;
        if (s->means != NULL) {
            float sum = 0.0f;
            for (size_t j = 0; j < n; j++) sum += values[j];
            s->means[m + i] += sum;
            continue;
        }
        if (s->sum != NULL) {
            float before[SQZ_NR];
            get(s->sum, at, n, before);
            for (size_t j = 0; j < n; j++) values[j] += before[j] * s->sum->unit;
        }
        raise_range(r, s->range, values, n);
        put(&s->out, at, n, values);
    }
}

/* The rows of a convolution, from wherever this run has them; moves on to the next convolution's. */
static sqz_status rows_of(run *r, const conv *c, const work *w, placed p, rows *found) {
    if (!is_resident(r->mode)) return begin_rows(r->net, c, w, is_whole(c, r->mode), r->memory, p, found);
    found->conv = c;
    found->packed = r->weights;
    found->bias = r->weights + up_to(c->filters, SQZ_MR) * n_inputs(c);
    r->weights += n_packed(c);
    return SQZ_OK;
}

/* 1x1, or 3x3 with a border. */
static sqz_status convolve(run *r, const conv *c, const planes *x, const sink *s, size_t work_at, gap free) {
    const work w = work_of(r->net, c, r->mode);
    const placed at = place(&w, work_at, is_whole(c, r->mode), free);
    const uint32_t group = group_of(c, r->mode);
    const size_t n_in = n_inputs(c), n_positions = (size_t)x->side * x->side;
    float *panel = (float *)(void *)(r->memory + at.parts);
    float tile[SQZ_MR * SQZ_NR];
    rows rows_;
    TRY(rows_of(r, c, &w, at, &rows_));
    for (uint32_t m = 0; m < c->filters; m += group) {
        const uint32_t n_rows = c->filters - m < group ? c->filters - m : group;
        const float *packed;
        TRY(next_rows(&rows_, m, n_rows, &packed));
        for (size_t p = 0; p < n_positions; p += SQZ_NR) {
            const size_t n = n_positions - p < SQZ_NR ? n_positions - p : SQZ_NR;
            if (c->kernel == 1)
                panel_1x1(x, c, p, n, panel);
            else
                panel_3x3(x, c, p, n, panel);
            for (uint32_t i = 0; i < n_rows; i += SQZ_MR) {
                sqz_gemm(n_in, packed + (size_t)i * n_in, panel, tile);
                finish(r, s, tile, x->unit, rows_.bias, m + i, n_rows - i < SQZ_MR ? n_rows - i : SQZ_MR, p, n);
            }
        }
    }
    return end_rows(&rows_);
}

/* One row of conv1's output, n_rows filters: (n_rows, side). */
static void conv1_row(const run *r, const sqz_image *image, const float *packed, const float *bias, uint32_t n_rows, uint32_t y,
                      float *panel, float *out) {
    const conv c = conv1(r->net);
    const size_t n_in = n_inputs(&c), side = conv1_side(r->net);
    float tile[SQZ_MR * SQZ_NR];
    for (size_t x = 0; x < side; x += SQZ_NR) {
        const size_t n = side - x < SQZ_NR ? side - x : SQZ_NR;
        panel_of_image(r->net, image, y, x, n, panel);
        for (uint32_t i = 0; i < n_rows; i++) {
            if (i % SQZ_MR == 0) sqz_gemm(n_in, packed + (size_t)i * n_in, panel, tile);
            for (size_t j = 0; j < n; j++) {
                const float v = tile[i % SQZ_MR * SQZ_NR + j] + bias[i];
                out[i * side + x + j] = v > 0.0f ? v : 0.0f;
            }
        }
    }
}

static float largest_of(float a, float b) { return a > b ? a : b; }

/* A row of a max pool, of up to three rows of `side` values. */
static void pool_row(const float *const rows_[3], size_t n_rows, size_t side, float *out) {
    for (size_t j = 0; j < side / 2; j++) {
        float most = rows_[0][2 * j];
        for (size_t i = 0; i < n_rows; i++)
            for (size_t x = 2 * j; x < 2 * j + 3 && x < side; x++) most = largest_of(most, rows_[i][x]);
        out[j] = most;
    }
}

static sqz_status run_conv1(run *r, const sqz_image *image) {
    const conv c = conv1(r->net);
    const work w = work_of(r->net, &c, r->mode);
    const layout l = layout_of_conv1(r->net, r->mode);
    const uint32_t group = group_of(&c, r->mode), side = conv1_side(r->net), n_kept = r->net->conv1_pool ? 3 : 1;
    const uint32_t out_side = r->net->conv1_pool ? pooled(side) : side;
    const planes out = planes_at(r, 0, out_side, 0);
    const gap free = {0, SIZE_MAX};
    const placed at_work = place(&w, l.work, is_whole(&c, r->mode), free);
    float *ring = (float *)(void *)(r->memory + l.ring), *panel = (float *)(void *)(r->memory + at_work.parts);
    rows rows_;
    TRY(rows_of(r, &c, &w, at_work, &rows_));
    for (uint32_t m = 0; m < c.filters; m += group) {
        const uint32_t n_rows = c.filters - m < group ? c.filters - m : group;
        const size_t kept = (size_t)group * side; /* floats of a row of the ring */
        const float *packed;
        TRY(next_rows(&rows_, m, n_rows, &packed));
        for (uint32_t y = 0, done = 0; y < out_side; y++) {
            const uint32_t last = r->net->conv1_pool ? (2 * y + 3 < side ? 2 * y + 3 : side) : y + 1;
            for (; done < last; done++)
                conv1_row(r, image, packed, rows_.bias + m, n_rows, done, panel, ring + done % n_kept * kept);
            for (uint32_t i = 0; i < n_rows; i++) {
                const size_t at = ((size_t)(m + i) * out_side + y) * out_side;
                float *values = ring + (size_t)i * side;
                if (r->net->conv1_pool) { /* into the window's first row, which no other window has */
                    const float *const window[3] = {values + 2 * y % 3 * kept, values + (2 * y + 1) % 3 * kept,
                                                    values + (2 * y + 2) % 3 * kept};
                    values += 2 * y % 3 * kept;
                    pool_row(window, last - 2 * y, side, values);
                }
                raise_range(r, 0, values, out_side);
                put(&out, at, out_side, values);
            }
        }
    }
    return end_rows(&rows_);
}

/* In place: an output is never behind what is still to be read. */
static void pool(const planes *x, uint32_t channels) {
    const size_t side = x->side, out_side = side / 2;
    for (uint32_t c = 0; c < channels; c++) {
        for (size_t y = 0; y < out_side; y++) {
            for (size_t column = 0; column < out_side; column++) {
                const size_t at = ((size_t)c * side + 2 * y) * side + 2 * column, to = ((size_t)c * out_side + y) * out_side + column;
                float most = value_at(x, at);
                for (size_t i = 0; i < 3 && 2 * y + i < side; i++)
                    for (size_t j = 0; j < 3 && 2 * column + j < side; j++) most = largest_of(most, value_at(x, at + i * side + j));
                if (x->is_8)
                    ((uint8_t *)x->data)[to] = (uint8_t)most;
                else
                    ((float *)x->data)[to] = most;
            }
        }
    }
}

static sqz_status run_fire(run *r, uint32_t index, uint32_t channels, uint32_t side) {
    const sqz_fire *fire = &r->net->fires[index];
    const layout l = layout_of_fire(r->net, fire, channels, side, r->mode);
    const size_t squeeze_range = 1 + 2 * (size_t)index, out_range = 2 + 2 * (size_t)index;
    const planes x = planes_at(r, 0, side, 2 * (size_t)index); /* range 0 is conv1's, 2 i that of the module before */
    const planes squeezed = planes_at(r, l.squeezed, side, squeeze_range);
    planes out = planes_at(r, l.out, side, out_range);
    const uint32_t out_channels = (uint32_t)fire->expand1x1 + fire->expand3x3;
    conv convs[4];
    const size_t n = convs_of(fire, channels, convs);
    sink s = {squeezed, 0, NULL, squeeze_range, NULL, 1};
    const size_t plane = plane_bytes(side, r->mode);
    TRY(convolve(r, &convs[0], &x, &s, l.work, gap_of_fire(fire, &l, 0, n, plane)));
    s.out = out;
    s.range = out_range;
    if (fire->bypass == SQZ_CONV_BYPASS) {
        s.relu = 0;
        TRY(convolve(r, &convs[1], &x, &s, l.work, gap_of_fire(fire, &l, 1, n, plane)));
        s.relu = 1;
    }
    if (fire->bypass != SQZ_NO_BYPASS) s.sum = fire->bypass == SQZ_IDENTITY ? &x : &out;
    for (size_t i = n - 2; i < n; i++) {
        s.first_filter = i == n - 2 ? fire->expand1x1 : 0;
        TRY(convolve(r, &convs[i], &squeezed, &s, l.work, gap_of_fire(fire, &l, i, n, plane)));
    }
    if (l.out > 0) memmove(r->memory, r->memory + l.out, activation_bytes(out_channels, side, r->mode));
    out.data = r->memory;
    if (fire->pool_after) pool(&out, out_channels);
    return SQZ_OK;
}

/* With a border of `conv10_padding` zeros, whose outputs are the bias. */
static sqz_status run_conv10(run *r, uint32_t channels, uint32_t side, float *logits) {
    const layout l = layout_of_conv10(r->net, channels, side, r->mode);
    const gap none = {0, 0};
    const conv c = conv10(r->net, channels);
    const planes x = planes_at(r, 0, side, 2 * (size_t)r->net->n_fires);
    const uint32_t padded = side + 2 * (uint32_t)r->net->conv10_padding;
    const float n_border = (float)((size_t)padded * padded - (size_t)side * side), n_all = (float)((size_t)padded * padded);
    const float *bias;
    sink s = {x, 0, NULL, 0, logits, r->net->conv10_relu};
    memset(logits, 0, r->net->classes * sizeof(float));
    bias = is_resident(r->mode) ? r->weights + up_to(c.filters, SQZ_MR) * n_inputs(&c)
                                : (const float *)(void *)(r->memory + l.work + work_of(r->net, &c, r->mode).panel);
    TRY(convolve(r, &c, &x, &s, l.work, none));
    for (uint32_t i = 0; i < r->net->classes; i++) {
        const float b = r->net->conv10_relu && bias[i] < 0.0f ? 0.0f : bias[i];
        logits[i] = (logits[i] + n_border * b) / n_all;
    }
    return SQZ_OK;
}

static sqz_status run_all(run *r, const sqz_image *image, size_t size, float *logits) {
    const sqz_net *net = r->net;
    uint32_t side = conv1_side(net), channels = net->conv1_filters;
    if ((image->pixels == NULL) == (image->values == NULL)) return SQZ_ARGUMENT;
    if (is_resident(r->mode) != (r->weights != NULL) || (is_8(r->mode) && r->ranges == NULL)) return SQZ_ARGUMENT;
    if (size < sqz_net_memory(net, r->mode)) return SQZ_MEMORY;
    for (uint32_t i = 0; i < net->n_fires; i++)
        if (is_8(r->mode) && net->fires[i].bypass == SQZ_CONV_BYPASS) return SQZ_UNSUPPORTED; /* its sums may be negative */
    TRY(run_conv1(r, image));
    if (net->conv1_pool) side = pooled(side);
    for (uint32_t i = 0; i < net->n_fires; i++) {
        TRY(run_fire(r, i, channels, side));
        channels = (uint32_t)net->fires[i].expand1x1 + net->fires[i].expand3x3;
        if (net->fires[i].pool_after) side = pooled(side);
    }
    return run_conv10(r, channels, side, logits);
}

sqz_status sqz_net_run(const sqz_net *net, sqz_mode mode, const float *weights, const float *ranges, const sqz_image *image,
                       void *memory, size_t size, float *logits) {
    run r = {net, mode, weights, ranges, NULL, memory};
    return run_all(&r, image, size, logits);
}

sqz_status sqz_net_calibrate(const sqz_net *net, sqz_mode mode, const float *weights, float *ranges, const sqz_image *image,
                             void *memory, size_t size, float *logits) {
    run r = {net, mode, weights, NULL, ranges, memory};
    if (is_8(mode)) return SQZ_ARGUMENT;
    return run_all(&r, image, size, logits);
}
