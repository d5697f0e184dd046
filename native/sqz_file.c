/* The container of FORMAT.md: File_Header, Layer_Table and what they may hold. */

#include <string.h>

#include "sqz_private.h"

enum {
    HEADER_SIZE = 24,
    CRC_SIZE = 4,
    MAX_METADATA_SIZE = 65536,
    MIN_BLOCK_LOG = 3,
    MAX_BLOCK_LOG = 20,
    MAX_CENTROIDS = 65536,
    MAX_LEVEL = 32767,
    MAX_CODED_LEVEL = 4095,
    MAX_WEIGHTS_PER_BYTE = 256,
    NAMES_AT_A_TIME = 128
};

/* ---- Integers and floats ---- */

sqz_status sqz_varint(sqz_bytes *bytes, uint32_t *value) {
    uint64_t sum = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        if (bytes->next == bytes->end) {
            return SQZ_TABLE;
        }
        const uint32_t byte = *bytes->next++;
        sum |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            *value = sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
            return byte == 0 && shift > 0 ? SQZ_VARINT : SQZ_OK;
        }
    }
    return SQZ_VARINT;
}

static sqz_status take(sqz_bytes *bytes, size_t n, const uint8_t **taken) {
    if (n > sqz_n_left(bytes)) {
        return SQZ_TABLE;
    }
    *taken = bytes->next;
    bytes->next += n;
    return SQZ_OK;
}

static sqz_status take_u8(sqz_bytes *bytes, uint32_t *value) {
    const uint8_t *p;
    SQZ_TRY(take(bytes, 1, &p));
    *value = *p;
    return SQZ_OK;
}

static sqz_status take_u32(sqz_bytes *bytes, uint32_t *value) {
    const uint8_t *p;
    SQZ_TRY(take(bytes, 4, &p));
    *value = sqz_u32(p);
    return SQZ_OK;
}

float sqz_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint32_t sqz_widen(uint32_t half) {
    const uint32_t sign = (half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 31, mantissa = half & 0x3ff;
    if (exponent == 31) {
        return sign | 0x7f800000 | mantissa << 13;
    }
    if (exponent == 0) {
        if (mantissa == 0) {
            return sign;
        }
        for (exponent = 1; mantissa < 0x400; --exponent) { /* a subnormal, which binary32 holds as a normal number */
            mantissa <<= 1;
        }
        mantissa &= 0x3ff;
    }
    return sign | (exponent + 112) << 23 | mantissa << 13;
}

/* ---- Layer_Record ---- */

static int is_name(const char *name, size_t size) {
    int part = 0; /* is there a character since the last dot? */
    for (size_t i = 0; i < size; ++i) {
        const char c = name[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-') {
            part = 1;
        } else if (c == '.' && part) {
            part = 0;
        } else {
            return 0;
        }
    }
    return part;
}

/* name holds the previous record's, and gets this one's. */
static sqz_status parse_name(sqz_bytes *bytes, char name[SQZ_MAX_NAME + 1]) {
    uint32_t n_shared, n_suffix;
    const uint8_t *suffix;
    SQZ_TRY(take_u8(bytes, &n_shared));
    SQZ_TRY(take_u8(bytes, &n_suffix));
    SQZ_TRY(take(bytes, n_suffix, &suffix));
    if (n_shared > strlen(name) || n_shared + n_suffix > SQZ_MAX_NAME) {
        return SQZ_NAME;
    }
    memcpy(name + n_shared, suffix, n_suffix);
    name[n_shared + n_suffix] = 0;
    return is_name(name, n_shared + n_suffix) ? SQZ_OK : SQZ_NAME;
}

static sqz_status parse_dims(sqz_bytes *bytes, sqz_tensor *tensor, uint64_t weights_left) {
    uint64_t n_weights = 1;
    int too_many = 0;
    for (unsigned i = 0; i < tensor->n_dims; ++i) {
        SQZ_TRY(sqz_varint(bytes, &tensor->dims[i]));
        if (tensor->dims[i] == 0) {
            return SQZ_DIMS;
        }
        n_weights *= tensor->dims[i];
        if (n_weights > weights_left) {
            too_many = 1, n_weights = 1; /* another dimension may be 0, or cut */
        }
    }
    tensor->n_weights = (uint32_t)n_weights;
    return too_many || n_weights > weights_left ? SQZ_LIMIT : SQZ_OK;
}

/* Sorted_Centroids. The next bit, from a byte's highest. */
static sqz_status take_bit(sqz_sorted *sorted, uint32_t *bit) {
    if (sorted->n_bits == 0) {
        const uint8_t *p;
        SQZ_TRY(take(&sorted->bytes, 1, &p));
        sorted->n_bits = 8;
    }
    *bit = (uint32_t)sorted->bytes.next[-1] >> --sorted->n_bits & 1;
    return SQZ_OK;
}

static uint32_t half_of_key(uint32_t key) { return key >= 32768 ? key - 32768 : 65535 - key; }

sqz_status sqz_sorted_first(sqz_sorted *sorted, const uint8_t *data, const uint8_t *end, uint32_t *bits) {
    const uint8_t *p;
    sorted->bytes.next = data;
    sorted->bytes.end = end;
    sorted->n_bits = 0;
    SQZ_TRY(take(&sorted->bytes, 3, &p));
    sorted->key = sqz_u16(p);
    sorted->order = p[2];
    *bits = half_of_key(sorted->key);
    return sorted->order <= 15 ? SQZ_OK : SQZ_CODEBOOK;
}

sqz_status sqz_sorted_next(sqz_sorted *sorted, uint32_t *bits) {
    uint32_t n = sorted->order, m = 0, bit; /* m has n bits below its highest */
    for (;;) {
        SQZ_TRY(take_bit(sorted, &bit));
        if (bit) {
            break;
        }
        if (++n > 16) { /* d would be above 65,535 */
            return SQZ_CODEBOOK;
        }
    }
    for (m = 1; n > 0; --n) {
        SQZ_TRY(take_bit(sorted, &bit));
        m = m << 1 | bit;
    }
    sorted->key += m - ((uint32_t)1 << sorted->order);
    *bits = half_of_key(sorted->key);
    return sorted->key <= 65535 ? SQZ_OK : SQZ_CODEBOOK;
}

static int filling_is_zero(const sqz_sorted *sorted) {
    return sorted->n_bits == 0 || (sorted->bytes.next[-1] & ((1u << sorted->n_bits) - 1)) == 0;
}

/* has_levels: whether the centroids rise strictly, and none is zero. */
static sqz_status parse_codebook(sqz_bytes *bytes, sqz_tensor *tensor, int *has_levels) {
    const uint32_t size = tensor->kind == SQZ_CODEBOOK_F32 ? 4 : 2;
    const uint32_t minus = (uint32_t)1 << (8 * size - 1), infinity = size == 4 ? 0x7f800000 : 0x7c00;
    sqz_sorted sorted;
    uint32_t before = 0; /* the centroid's rank, of all of the type; 0 is a NaN's */
    SQZ_TRY(sqz_varint(bytes, &tensor->n_centroids));
    if (tensor->n_centroids > MAX_CENTROIDS || (tensor->kind == SQZ_SORTED_F16 && tensor->n_centroids == 0)) {
        return SQZ_CODEBOOK;
    }
    tensor->centroids = bytes->next;
    if (tensor->kind != SQZ_SORTED_F16) {
        SQZ_TRY(take(bytes, (size_t)tensor->n_centroids * size, &tensor->centroids));
    }
    *has_levels = 1;
    for (uint32_t i = 0; i < tensor->n_centroids; ++i) {
        uint32_t bits;
        if (tensor->kind != SQZ_SORTED_F16) {
            const uint8_t *p = tensor->centroids + (size_t)i * size;
            bits = size == 4 ? sqz_u32(p) : sqz_u16(p);
        } else if (i == 0) {
            SQZ_TRY(sqz_sorted_first(&sorted, bytes->next, bytes->end, &bits));
        } else {
            SQZ_TRY(sqz_sorted_next(&sorted, &bits));
        }
        if ((bits & infinity) == infinity) {
            return SQZ_CODEBOOK;
        }
        const uint32_t rank = bits & minus ? minus - (bits & ~minus) : minus + bits;
        if (rank == minus || rank <= before) {
            *has_levels = 0;
        }
        before = rank;
        tensor->n_negative += rank < minus;
    }
    if (tensor->kind == SQZ_SORTED_F16) {
        if (!filling_is_zero(&sorted)) {
            return SQZ_CODEBOOK;
        }
        bytes->next = sorted.bytes.next;
    }
    tensor->n_positive = tensor->n_centroids - tensor->n_negative;
    return SQZ_OK;
}

static sqz_status parse_step(sqz_bytes *bytes, sqz_tensor *tensor) {
    uint32_t bits;
    SQZ_TRY(take_u32(bytes, &bits));
    const uint32_t exponent = bits >> 23; /* with the sign above it */
    if (exponent == 0 || exponent >= 255) {
        return SQZ_STEP;
    }
    SQZ_TRY(sqz_varint(bytes, &tensor->n_negative));
    SQZ_TRY(sqz_varint(bytes, &tensor->n_positive));
    const uint32_t level = tensor->n_negative > tensor->n_positive ? tensor->n_negative : tensor->n_positive;
    if (level > MAX_LEVEL) {
        return SQZ_STEP;
    }
    /* The largest binary32 is (2^24 - 1) 2^(254 - 150), the step m 2^(exponent - 150), and m times the level below 2^39. */
    const uint64_t product = (uint64_t)((bits & 0x7fffff) | 0x800000) * level;
    if (254 - exponent < 16 && product > (uint64_t)0xffffff << (254 - exponent)) {
        return SQZ_STEP;
    }
    tensor->step = sqz_float(bits);
    return SQZ_OK;
}

static sqz_status parse_model(sqz_bytes *bytes, sqz_model *model, uint32_t coder, uint32_t alphabet) {
    if (coder == SQZ_ZSTD) {
        return SQZ_PROFILE;
    }
    if (coder > SQZ_CONTEXT) {
        return SQZ_CODER;
    }
    SQZ_TRY(sqz_varint(bytes, &model->size));
    SQZ_TRY(take(bytes, model->size, &model->data));
    model->coder = (uint8_t)coder;
    model->alphabet = alphabet;
    return SQZ_OK;
}

uint32_t sqz_n_codes(const sqz_tensor *tensor) {
    return tensor->kind == SQZ_STEP_F32 ? tensor->n_negative + tensor->n_positive : tensor->n_centroids;
}

/* Streams. A tensor without positions, or without codes, keeps a model of alphabet 0 there. */
static sqz_status parse_streams(sqz_bytes *bytes, sqz_tensor *tensor, int has_levels) {
    static const uint16_t alphabets[] = {0, 2, 256, 16};
    const uint32_t n_codes = sqz_n_codes(tensor);
    uint32_t mode, coder;
    SQZ_TRY(take_u8(bytes, &mode));
    coder = mode >> 4;
    mode &= 15;
    tensor->position_mode = (uint8_t)mode;
    if (mode >= SQZ_N_MODES) {
        return SQZ_MODE;
    }
    if (mode == SQZ_LEVELS) {
        if (coder != SQZ_CONTEXT) {
            return SQZ_CODER;
        }
        if (n_codes == 0 || !has_levels || tensor->n_negative > MAX_CODED_LEVEL || tensor->n_positive > MAX_CODED_LEVEL) {
            return SQZ_MODE;
        }
        return parse_model(bytes, &tensor->positions, coder, n_codes);
    }
    if (mode == SQZ_DENSE) {
        if (coder != 0) {
            return SQZ_CODER;
        }
        if (n_codes == 0) {
            return SQZ_MODE;
        }
    } else {
        if (coder == SQZ_CONTEXT) {
            return SQZ_CODER;
        }
        SQZ_TRY(parse_model(bytes, &tensor->positions, coder, alphabets[mode]));
    }
    if (n_codes > 1) {
        SQZ_TRY(take_u8(bytes, &coder));
        if (coder == SQZ_CONTEXT) {
            return SQZ_CODER;
        }
        SQZ_TRY(parse_model(bytes, &tensor->codes, coder, n_codes));
    }
    return SQZ_OK;
}

uint32_t sqz_item_size(const sqz_tensor *tensor) {
    static const uint8_t sizes[] = {2, 4, 8, 0, 0, 0, 0, 2, 4}; /* by kind */
    return sizes[tensor->kind];
}

int sqz_is_shared(const sqz_tensor *tensor) { return sqz_item_size(tensor) == 0; }

sqz_status sqz_read_block(const sqz_tensor *tensor, uint32_t n, sqz_bytes *bytes, sqz_block *block) {
    const uint32_t item_size = sqz_item_size(tensor);
    memset(block, 0, sizeof *block);
    block->n_nonzero = n;
    if (tensor->positions.alphabet > 0) {
        SQZ_TRY(sqz_varint(bytes, &block->n_nonzero));
        if (block->n_nonzero > (item_size > 0 || sqz_n_codes(tensor) > 0 ? n : 0)) {
            return SQZ_BLOCK;
        }
        if (block->n_nonzero == 0) {
            return SQZ_OK;
        }
        SQZ_TRY(sqz_varint(bytes, &block->positions_size));
        if (tensor->position_mode == SQZ_GAPS) {
            SQZ_TRY(sqz_varint(bytes, &block->gap_count));
            if (block->gap_count < block->n_nonzero || block->gap_count > block->n_nonzero + n / 15) {
                return SQZ_BLOCK;
            }
        }
    }
    if (tensor->codes.alphabet > 0) {
        SQZ_TRY(sqz_varint(bytes, &block->codes_size));
    }
    block->payload_size = (uint64_t)block->positions_size + block->codes_size + (uint64_t)block->n_nonzero * item_size;
    SQZ_TRY(take_u32(bytes, &block->payload_crc));
    return n <= MAX_WEIGHTS_PER_BYTE * block->payload_size ? SQZ_OK : SQZ_BLOCK;
}

/* tensor: the one before, whose name, end and payload_end say where this one begins. */
static sqz_status parse_record(const sqz_file *file, sqz_tensor *tensor, uint64_t weights_left) {
    sqz_bytes bytes = {tensor->end, file->table_end};
    const uint8_t *payload = tensor->payload_end;
    const uint8_t *payloads_end = file->data + file->size - SQZ_SHA256_SIZE;
    uint32_t kind;
    int has_levels = 1;
    SQZ_TRY(parse_name(&bytes, tensor->name));
    SQZ_TRY(take_u8(&bytes, &kind));
    memset(&tensor->dims, 0, sizeof *tensor - offsetof(sqz_tensor, dims));
    tensor->kind = kind & 15;
    tensor->n_dims = (uint8_t)(kind >> 4);
    if (tensor->kind > SQZ_SPARSE_F32) {
        return SQZ_KIND;
    }
    if (tensor->n_dims > SQZ_MAX_DIMS) {
        return SQZ_DIMS;
    }
    SQZ_TRY(parse_dims(&bytes, tensor, weights_left));
    if (tensor->kind > SQZ_RAW_I64) {
        SQZ_TRY(take_u32(&bytes, &tensor->values_crc));
        if (tensor->kind == SQZ_STEP_F32) {
            SQZ_TRY(parse_step(&bytes, tensor));
        } else if (sqz_is_shared(tensor)) {
            SQZ_TRY(parse_codebook(&bytes, tensor, &has_levels));
        }
        SQZ_TRY(parse_streams(&bytes, tensor, has_levels));
    }
    tensor->blocks = bytes.next;
    tensor->payload = payload;
    const uint32_t block_size = (uint32_t)1 << file->block_log;
    for (uint32_t n_left = tensor->n_weights; n_left > 0;) {
        const uint32_t n = sqz_min(n_left, block_size);
        sqz_block block;
        SQZ_TRY(sqz_read_block(tensor, n, &bytes, &block));
        if (payload != NULL && block.payload_size > (uint64_t)(payloads_end - payload)) {
            payload = NULL; /* outside of the file, as all that come after: SQZ_SIZE in the end */
        }
        payload = payload != NULL ? payload + block.payload_size : NULL;
        n_left -= n;
    }
    tensor->payload_end = payload;
    tensor->end = bytes.next;
    return SQZ_OK;
}

/* ---- The tensors of a file ---- */

static void before_first(const sqz_file *file, sqz_tensor *tensor) {
    memset(tensor, 0, sizeof *tensor);
    tensor->end = file->table;
    tensor->payload_end = file->payloads;
}

/* As parse_record, of a table that has been checked. */
static sqz_status step(const sqz_file *file, sqz_tensor *tensor, uint32_t number) {
    if (tensor->end == file->table_end) {
        return SQZ_NOT_FOUND;
    }
    SQZ_TRY(parse_record(file, tensor, file->max_weights));
    tensor->number = number;
    return SQZ_OK;
}

sqz_status sqz_first(const sqz_file *file, sqz_tensor *tensor) {
    before_first(file, tensor);
    return step(file, tensor, 0);
}

sqz_status sqz_next(const sqz_file *file, sqz_tensor *tensor) { return step(file, tensor, tensor->number + 1); }

sqz_status sqz_find(const sqz_file *file, const char *name, sqz_tensor *tensor) {
    sqz_status status = sqz_first(file, tensor);
    while (status == SQZ_OK && strcmp(tensor->name, name) != 0) {
        status = sqz_next(file, tensor);
    }
    return status;
}

sqz_status sqz_codebook(const sqz_tensor *tensor, float *values, size_t n) {
    sqz_sorted sorted;
    if (!sqz_is_shared(tensor) || tensor->kind == SQZ_STEP_F32) {
        return SQZ_ARGUMENT;
    }
    if (n < tensor->n_centroids) {
        return SQZ_MEMORY;
    }
    for (uint32_t i = 0; i < tensor->n_centroids; ++i) {
        uint32_t bits;
        if (tensor->kind == SQZ_CODEBOOK_F32) {
            values[i] = sqz_float(sqz_u32(tensor->centroids + (size_t)i * 4));
            continue;
        }
        if (tensor->kind == SQZ_CODEBOOK_F16) {
            bits = sqz_u16(tensor->centroids + (size_t)i * 2);
        } else if (i == 0) {
            SQZ_TRY(sqz_sorted_first(&sorted, tensor->centroids, tensor->end, &bits));
        } else {
            SQZ_TRY(sqz_sorted_next(&sorted, &bits));
        }
        values[i] = sqz_float(sqz_widen(bits));
    }
    return SQZ_OK;
}

/* ---- Order of the checks ---- */

/* Step 1. */
static sqz_status check_sizes(const uint8_t *data, size_t size) {
    static const uint8_t magic[4] = {0x53, 0x51, 0x5a, 0x1a};
    if (size == 0 || memcmp(data, magic, size < 4 ? size : 4) != 0) {
        return SQZ_NOT_SQZ;
    }
    if (size > 4 && data[4] != 1 && data[4] != 2) {
        return SQZ_VERSION;
    }
    if (size < HEADER_SIZE || sqz_u64(data + 8) != size) {
        return SQZ_SIZE;
    }
    const uint32_t metadata_size = sqz_u32(data + 16), table_size = sqz_u32(data + 20);
    if (metadata_size > MAX_METADATA_SIZE) {
        return SQZ_SIZE;
    }
    return (uint64_t)HEADER_SIZE + metadata_size + table_size + CRC_SIZE + SQZ_SHA256_SIZE > size ? SQZ_SIZE : SQZ_OK;
}

/* Step 3, but for the metadata. */
static sqz_status check_header(const uint8_t *data) {
    if (data[5] == 1) {
        return SQZ_PROFILE;
    }
    return data[5] != 0 || data[6] < MIN_BLOCK_LOG || data[6] > MAX_BLOCK_LOG || data[7] != 0 ? SQZ_HEADER : SQZ_OK;
}

/* Step 4, but for names. */
static sqz_status check_records(sqz_file *file) {
    sqz_tensor tensor;
    uint64_t n_weights = 0;
    int has_levels = 0;
    before_first(file, &tensor);
    while (tensor.end != file->table_end) {
        SQZ_TRY(parse_record(file, &tensor, file->max_weights - n_weights));
        n_weights += tensor.n_weights;
        ++file->n_tensors;
        has_levels |= tensor.position_mode == SQZ_LEVELS;
    }
    file->n_weights = (uint32_t)n_weights;
    if (file->n_tensors == 0) {
        return SQZ_TABLE;
    }
    if (tensor.payload_end != file->data + file->size - SQZ_SHA256_SIZE) {
        return SQZ_SIZE;
    }
    return file->format_version == (has_levels ? 2 : 1) ? SQZ_OK : SQZ_HEADER;
}

static int has_name(const sqz_file *file, uint32_t number, const char *name) {
    sqz_tensor tensor;
    sqz_status status = sqz_first(file, &tensor);
    while (status == SQZ_OK && tensor.number != number) {
        status = sqz_next(file, &tensor);
    }
    return status == SQZ_OK && strcmp(tensor.name, name) == 0;
}

/* No name twice, without memory for the names: the table is gone through once for each 128 of them, whose hashes are kept. */
static sqz_status check_names(const sqz_file *file) {
    uint32_t hashes[NAMES_AT_A_TIME];
    sqz_tensor tensor;
    for (uint32_t from = 0; from < file->n_tensors; from += NAMES_AT_A_TIME) {
        uint32_t n_hashes = 0;
        sqz_status status = sqz_first(file, &tensor);
        for (; status == SQZ_OK; status = sqz_next(file, &tensor)) {
            if (tensor.number < from) {
                continue;
            }
            uint32_t hash = 2166136261u; /* FNV-1a */
            for (const char *c = tensor.name; *c != 0; ++c) {
                hash = (hash ^ (uint8_t)*c) * 16777619u;
            }
            for (uint32_t i = 0; i < n_hashes; ++i) {
                if (hashes[i] == hash && has_name(file, from + i, tensor.name)) {
                    return SQZ_NAME;
                }
            }
            if (n_hashes < NAMES_AT_A_TIME) {
                hashes[n_hashes++] = hash;
            }
        }
    }
    return SQZ_OK;
}

/* Step 5, and how much work memory the tensors need. */
static sqz_status check_models(sqz_file *file) {
    sqz_tensor tensor;
    sqz_status status = sqz_first(file, &tensor);
    for (; status == SQZ_OK; status = sqz_next(file, &tensor)) {
        if (tensor.position_mode == SQZ_LEVELS) {
            SQZ_TRY(sqz_check_context(&tensor.positions));
        } else if (tensor.positions.alphabet > 0) {
            SQZ_TRY(sqz_check_model(&tensor.positions));
        }
        if (tensor.codes.alphabet > 0) {
            SQZ_TRY(sqz_check_model(&tensor.codes));
        }
        const size_t n = sqz_required_memory(file, &tensor);
        file->required_memory = n > file->required_memory ? n : file->required_memory;
    }
    return SQZ_OK;
}

sqz_status sqz_open(sqz_file *file, const void *data, size_t size, uint64_t max_weights) {
    const uint8_t *bytes = data;
    memset(file, 0, sizeof *file);
    SQZ_TRY(check_sizes(bytes, size));
    file->data = bytes;
    file->size = size;
    file->format_version = bytes[4];
    file->metadata = bytes + HEADER_SIZE;
    file->metadata_size = sqz_u32(bytes + 16);
    file->table = file->metadata + file->metadata_size;
    file->table_end = file->table + sqz_u32(bytes + 20);
    file->payloads = file->table_end + CRC_SIZE;
    file->max_weights = max_weights == 0 ? SQZ_MAX_WEIGHTS : max_weights;
    if (file->max_weights > UINT32_MAX - 1) { /* a dimension of more than sqz_varint tells apart is above it */
        file->max_weights = UINT32_MAX - 1;
    }
    if (sqz_crc32c(0, bytes, (size_t)(file->table_end - bytes)) != sqz_u32(file->table_end)) {
        return SQZ_HEADER_CRC;
    }
    SQZ_TRY(check_header(bytes));
    file->block_log = bytes[6];
    SQZ_TRY(check_records(file));
    SQZ_TRY(check_names(file));
    return check_models(file);
}

sqz_status sqz_verify(const sqz_file *file) {
    const size_t size = file->size - SQZ_SHA256_SIZE;
    uint8_t digest[SQZ_SHA256_SIZE];
    sqz_sha256 sha;
    sqz_sha256_begin(&sha);
    sqz_sha256_update(&sha, file->data, size);
    sqz_sha256_end(&sha, digest);
    return memcmp(digest, file->data + size, SQZ_SHA256_SIZE) == 0 ? SQZ_OK : SQZ_SHA256;
}
