/* squeeze-compress in C99: a decoder of .sqz files (docs/FORMAT.md, portable profile) and of .sqzd updates (docs/DELTA.md,
 * block form), for devices and for hosts.
 *
 * A file lies in memory (flash, a mapped file, an array) and stays there. Nothing is allocated: the caller owns every struct and
 * the work memory of a stream, and asks sqz_required_memory how much that is. No function keeps state elsewhere, so different
 * threads may decode different tensors of one file. Floating point appears once, where an index becomes a float32.
 *
 *     sqz_file file;
 *     sqz_tensor tensor;
 *     sqz_stream stream;
 *     sqz_status status = sqz_open(&file, data, size, 0);
 *     if (status == SQZ_OK) status = sqz_find(&file, "features.0.weight", &tensor);
 *     if (status == SQZ_OK) status = sqz_begin(&stream, &file, &tensor, memory, memory_size);
 *     if (status == SQZ_OK) status = sqz_read(&stream, weights, tensor.n_weights);     or in as many parts as one likes
 *     if (status == SQZ_OK) status = sqz_end(&stream);
 *
 * Once a function has refused, the struct that it was given is of no more use. Macros: SQZ_SMALL (smaller tables, slower). */

#ifndef SQZ_H
#define SQZ_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Why something was refused. sqz_status_name and sqz_status_text spell it out. */
typedef enum sqz_status {
    SQZ_OK = 0,
    /* What was asked for */
    SQZ_ARGUMENT,  /* more weights asked for than are left, or of a kind that the tensor is not */
    SQZ_MEMORY,    /* the work memory, or the buffer for the result, is too small */
    SQZ_NOT_FOUND, /* no tensor, or no metadata, of that name */
    SQZ_WRITE,     /* the caller's own function failed */
    /* File_Header */
    SQZ_NOT_SQZ,
    SQZ_VERSION,
    SQZ_SIZE, /* truncated or too long, or parts that do not add up to File_Size */
    SQZ_HEADER_CRC,
    SQZ_HEADER,  /* Block_Log, Reserved, an unknown Profile, or a version that the table contradicts */
    SQZ_PROFILE, /* the host profile: coded by zstd */
    SQZ_METADATA,
    /* Layer_Table */
    SQZ_TABLE,  /* no record, or one that crosses the table's end */
    SQZ_VARINT, /* longer than it needs to be, or than 5 bytes */
    SQZ_NAME,
    SQZ_KIND,
    SQZ_DIMS,
    SQZ_LIMIT, /* more weights than the caller allows */
    SQZ_CODEBOOK,
    SQZ_STEP,
    SQZ_MODE,
    SQZ_CODER,
    SQZ_MODEL,
    SQZ_BLOCK,
    /* Payloads */
    SQZ_PAYLOAD_CRC,
    SQZ_STREAM, /* a stream that does not end where it should, or holds what the layer does not have */
    SQZ_VALUES_CRC,
    SQZ_SHA256,
    /* .sqzd */
    SQZ_NOT_DELTA,
    SQZ_DELTA_VERSION,
    SQZ_DELTA_HEADER_CRC,
    SQZ_DELTA_HEADER,
    SQZ_DELTA_FORM, /* the symbol form, which is for hosts */
    SQZ_DELTA_SIZE, /* truncated or too long */
    SQZ_DELTA_LIMIT,
    SQZ_DELTA_BODY_CRC,
    SQZ_DELTA_BASE, /* for another base */
    SQZ_DELTA_INSTRUCTION,
    SQZ_DELTA_NEW, /* what came out is not NEW */
    /* Running a net (sqz_net.h) */
    SQZ_UNSUPPORTED, /* a net, a layer or an input that the runtime does not have */
    SQZ_SHAPE,       /* a tensor whose shape is not the one that the net needs */
    SQZ_N_STATUS
} sqz_status;

const char *sqz_status_name(sqz_status status); /* "SQZ_HEADER_CRC" */
const char *sqz_status_text(sqz_status status); /* "header, metadata or table is damaged" */

/* ---- A file ---- */

enum { SQZ_MAX_DIMS = 8, SQZ_MAX_NAME = 255, SQZ_SHA256_SIZE = 32 };
#define SQZ_MAX_WEIGHTS ((uint64_t)1 << 28) /* FORMAT.md's limit, unless the caller allows another */

typedef struct sqz_file {
    const uint8_t *data;
    size_t size;
    uint8_t format_version;
    uint8_t block_log;
    const uint8_t *metadata; /* UTF-8, one JSON object; sqz_open does not look inside, see sqz_check_metadata and sqz_json_* */
    size_t metadata_size;
    const uint8_t *table;
    const uint8_t *table_end;
    const uint8_t *payloads;
    uint64_t max_weights;
    uint32_t n_tensors;
    uint32_t n_weights; /* of all tensors */
    size_t required_memory;
} sqz_file;

/* Steps 1 to 5 of FORMAT.md's "Order of the checks", but for the metadata's inner form: all that the header and the table hold.
 * max_weights: a file with more is refused; 0 stands for SQZ_MAX_WEIGHTS, and more than 2^32 - 2 for that. */
sqz_status sqz_open(sqz_file *file, const void *data, size_t size, uint64_t max_weights);

/* Step 7: File_SHA256. Each block's checksum is checked before the block is decoded, so a device may do this when it likes. */
sqz_status sqz_verify(const sqz_file *file);

/* ---- Tensors ---- */

typedef enum sqz_kind {
    SQZ_RAW_F16 = 0,
    SQZ_RAW_F32 = 1,
    SQZ_RAW_I64 = 2,
    SQZ_CODEBOOK_F16 = 3,
    SQZ_CODEBOOK_F32 = 4,
    SQZ_STEP_F32 = 5,
    SQZ_SORTED_F16 = 6,
    SQZ_SPARSE_F16 = 7,
    SQZ_SPARSE_F32 = 8
} sqz_kind;

/* A model's bytes in the table, and the coder that they are for. */
typedef struct sqz_model {
    const uint8_t *data;
    uint32_t size;
    uint32_t alphabet;
    uint8_t coder;
} sqz_model;

typedef struct sqz_tensor {
    char name[SQZ_MAX_NAME + 1];
    uint8_t kind; /* an sqz_kind */
    uint8_t n_dims;
    uint32_t dims[SQZ_MAX_DIMS]; /* outermost first */
    uint32_t n_weights;
    /* Shared tensors: what an index stands for. Index 0 is +0.0 always. */
    uint32_t n_centroids; /* kinds 3, 4, 6: index i is centroid i - 1 */
    float step;           /* kind 5: index i, a signed level, is (float)i * step */
    uint32_t n_negative;  /* kind 5: levels below zero, -n_negative .. -1; kinds 3, 4, 6: centroids below zero */
    uint32_t n_positive;  /* kind 5: levels above zero, 1 .. n_positive; kinds 3, 4, 6: the other centroids */
    /* What decoding needs */
    uint32_t number; /* in the table, from 0 */
    uint32_t values_crc;
    uint8_t position_mode;
    sqz_model positions;
    sqz_model codes;          /* alphabet 0: none */
    const uint8_t *centroids; /* Centroids or Sorted_Centroids */
    const uint8_t *blocks;    /* the first Block_Record */
    const uint8_t *end;       /* of the record, where the next one begins */
    const uint8_t *payload;   /* of the first block */
    const uint8_t *payload_end;
} sqz_tensor;

/* The tensors in the file's order. A loop: for (status = sqz_first(f, &t); status == SQZ_OK; status = sqz_next(f, &t)).
 * SQZ_NOT_FOUND after the last. */
sqz_status sqz_first(const sqz_file *file, sqz_tensor *tensor);
sqz_status sqz_next(const sqz_file *file, sqz_tensor *tensor);
sqz_status sqz_find(const sqz_file *file, const char *name, sqz_tensor *tensor);

/* Kinds 3 to 6, whose weights are indices. */
int sqz_is_shared(const sqz_tensor *tensor);
/* Kinds 3, 4 and 6: the centroids as float32. values: room for n >= n_centroids. */
sqz_status sqz_codebook(const sqz_tensor *tensor, float *values, size_t n);

/* ---- Weights, as a stream ---- */

/* A coder, and its state within one stream of one block. Private. */
typedef struct sqz_coder {
    const uint8_t *next, *end; /* bytes not taken yet */
    uint32_t code;             /* range: the code. stored, huffman: bits taken and not used, from the highest */
    uint32_t span;             /* range */
    uint32_t n_bits;           /* stored, huffman: of `code` */
    uint32_t n_zeros;          /* zero bytes taken after the stream's end */
    uint32_t alphabet, n_present;
    uint8_t coder;
    uint8_t width;         /* stored: bits a symbol; huffman: bits that index the table */
    uint16_t *symbols;     /* those present, in the order of their codes */
    uint16_t *sums;        /* range: frequencies below each present symbol, and 2^14 */
    uint16_t *buckets;     /* range: the symbol that the first of each 64 targets is of */
    uint32_t *table;       /* huffman: symbol << 4 | code length, by the next bits; 0 where these are no code, or a longer one */
    uint16_t ends[16];     /* huffman: where the codes of each length end, of 2^15 */
    uint16_t numbers[16];  /* huffman: which present symbol has the first code of each length */
} sqz_coder;

struct sqz_context; /* the context coder's state, in the work memory; see sqz_context.c */

/* A tensor that is being decoded. Private. */
typedef struct sqz_stream {
    const sqz_file *file;
    const sqz_tensor *tensor;
    sqz_status status;
    uint32_t n_left;         /* weights of the tensor that are not read yet */
    uint32_t n_block_left;   /* of them, in this block */
    uint32_t n_nonzero_left; /* of these, not zero, as N_Nonzero says */
    uint32_t n_gaps_left;
    uint32_t run;          /* gaps: zeros before the next non-zero weight */
    uint32_t bits, n_bits; /* bytes: weights of the last symbol that are not read yet */
    uint32_t crc;          /* for Values_CRC */
    uint8_t all_zero, in_run;
    const uint8_t *block;   /* the next Block_Record */
    const uint8_t *payload; /* of the next block */
    const uint8_t *values;  /* raw and sparse: the next value */
    sqz_coder positions, codes;
    struct sqz_context *context;
    uint16_t *sorted; /* kind 6: the centroids' bits */
} sqz_stream;

/* Bytes of work memory that sqz_begin needs for this tensor; tensor NULL: the most that any tensor of the file needs. 0 is
 * possible. The memory may have any alignment, and may be used for something else once the tensor is read. */
size_t sqz_required_memory(const sqz_file *file, const sqz_tensor *tensor);

/* file, tensor and memory must stay as they are until the stream is at its end. */
sqz_status sqz_begin(sqz_stream *stream, const sqz_file *file, const sqz_tensor *tensor, void *memory, size_t memory_size);

/* The next n weights in C order, as float32 in the machine's byte order; any n, across blocks, up to what is left. All kinds but
 * 2 (int64). What is read is under its block's checksum, but only sqz_end has checked all. */
sqz_status sqz_read(sqz_stream *stream, float *weights, size_t n);
/* The next n indices of a shared tensor (kinds 3 to 6). Reads of both sorts may alternate. */
sqz_status sqz_read_indices(sqz_stream *stream, int32_t *indices, size_t n);
/* The bytes of the next n weights of a raw or sparse tensor (kinds 0 to 2, 7, 8), as stored: little-endian, 2, 4 or 8 a weight. */
sqz_status sqz_read_raw(sqz_stream *stream, void *bytes, size_t n);
/* That all weights were read, and Values_CRC. */
sqz_status sqz_end(sqz_stream *stream);

/* ---- Updates: docs/DELTA.md, block form ---- */

typedef struct sqz_delta {
    const uint8_t *data;
    size_t size;
    uint64_t base_size, new_size;
    const uint8_t *base_sha256, *new_sha256;
} sqz_delta;

#define SQZ_MAX_NEW_SIZE ((uint64_t)1 << 30)

/* The header and Body_CRC. max_new_size: the largest NEW allowed; 0 stands for SQZ_MAX_NEW_SIZE. */
sqz_status sqz_delta_open(sqz_delta *delta, const void *data, size_t size, uint64_t max_new_size);

/* Takes the next bytes of NEW; anything but 0 stops. */
typedef int (*sqz_write)(void *user, const void *data, size_t size);

/* Makes NEW of the base. What was written is nobody's unless SQZ_OK comes back: only then is its SHA-256 known to be right.
 * The base must stay as it is until then. */
sqz_status sqz_delta_apply(const sqz_delta *delta, const void *base, size_t base_size, sqz_write write, void *user);

/* Both of the above into a buffer. new_size: its size on entry, that of NEW afterwards. */
sqz_status sqz_apply_delta(const void *base, size_t base_size, const void *delta, size_t delta_size, void *new_data,
                           size_t *new_size);

/* ---- Metadata ---- */

/* That metadata are the one spelling of FORMAT.md. For hosts: takes strtod and snprintf, and the "C" locale. */
sqz_status sqz_check_metadata(const uint8_t *metadata, size_t size);

/* One JSON value within metadata of that spelling; sqz_json_* never read outside it, whatever it holds. */
typedef struct sqz_json {
    const char *text;
    size_t size;
} sqz_json;

sqz_json sqz_json_of(const sqz_file *file); /* all metadata */
/* 's' string, 'n' number, 'o' object, 'a' array, 't' true, 'f' false, '0' null, or 0: not a value. */
char sqz_json_type(sqz_json value);
/* The member of an object of this key, the item of an array of this index, or SQZ_NOT_FOUND. */
sqz_status sqz_json_member(sqz_json object, const char *key, sqz_json *member);
sqz_status sqz_json_item(sqz_json array, size_t index, sqz_json *item);
size_t sqz_json_length(sqz_json value); /* items of an array, members of an object, else 0 */
/* sqz_json_member again and again: sqz_json_find(root, "input/mean", &mean). */
sqz_status sqz_json_find(sqz_json object, const char *path, sqz_json *value);
/* Whether value is this string (one without escapes). */
int sqz_json_equals(sqz_json value, const char *string);
/* A string, without its quotes and escapes, ended by 0; size: room, the 0 counted. */
sqz_status sqz_json_string(sqz_json value, char *string, size_t size);
/* A number, within a few units in the last place. */
sqz_status sqz_json_number(sqz_json value, double *number);
/* An array of exactly n numbers, as float32. */
sqz_status sqz_json_numbers(sqz_json array, float *numbers, size_t n);

/* ---- Checksums ---- */

/* CRC-32C of more bytes: begin with crc 0. */
uint32_t sqz_crc32c(uint32_t crc, const void *data, size_t size);

typedef struct sqz_sha256 {
    uint32_t state[8];
    uint64_t n_bytes;
    uint8_t block[64];
} sqz_sha256;

void sqz_sha256_begin(sqz_sha256 *sha);
void sqz_sha256_update(sqz_sha256 *sha, const void *data, size_t size);
void sqz_sha256_end(sqz_sha256 *sha, uint8_t digest[SQZ_SHA256_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
