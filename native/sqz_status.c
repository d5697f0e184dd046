/* What the codes of sqz_status are called, and what they mean. A device that prints neither leaves this file out. */

#include "sqz.h"

#define SQZ_STATUSES(STATUS)                                                                        \
    STATUS(SQZ_OK, "no error")                                                                      \
    STATUS(SQZ_ARGUMENT, "more was asked for than the tensor has, or another kind of it")           \
    STATUS(SQZ_MEMORY, "the caller's memory is too small")                                          \
    STATUS(SQZ_NOT_FOUND, "nothing of that name")                                                   \
    STATUS(SQZ_WRITE, "what was made could not be written")                                         \
    STATUS(SQZ_NOT_SQZ, "not a .sqz file")                                                          \
    STATUS(SQZ_VERSION, "a format version that this decoder does not know")                         \
    STATUS(SQZ_SIZE, "truncated or too long: parts that do not make the file's size")               \
    STATUS(SQZ_HEADER_CRC, "header, metadata or table is damaged")                                  \
    STATUS(SQZ_HEADER, "a field of the header is out of range, or the table contradicts it")        \
    STATUS(SQZ_PROFILE, "coded by zstd, the host profile, which this decoder does not have")        \
    STATUS(SQZ_METADATA, "metadata are not JSON in canonical form")                                 \
    STATUS(SQZ_TABLE, "the table has no layer, or ends inside a record")                            \
    STATUS(SQZ_VARINT, "a varint is longer than it needs to be, or than 5 bytes")                   \
    STATUS(SQZ_NAME, "a layer's name is not allowed, or used twice")                                \
    STATUS(SQZ_KIND, "a kind of tensor that this decoder does not know")                            \
    STATUS(SQZ_DIMS, "a dimension of 0, or more than 8 dimensions")                                 \
    STATUS(SQZ_LIMIT, "more weights than are allowed")                                              \
    STATUS(SQZ_CODEBOOK, "a codebook with too many centroids, or one that is not a finite number")  \
    STATUS(SQZ_STEP, "a step that is not a normal number above zero, or levels out of its range")   \
    STATUS(SQZ_MODE, "a position mode that is unknown, or that this tensor cannot have")            \
    STATUS(SQZ_CODER, "a coder that is unknown, or that cannot code these symbols")                 \
    STATUS(SQZ_MODEL, "bytes that are not a model of the coder")                                    \
    STATUS(SQZ_BLOCK, "a block's counts contradict each other, or it has too many weights a byte")  \
    STATUS(SQZ_PAYLOAD_CRC, "a block is damaged")                                                   \
    STATUS(SQZ_STREAM, "a stream that does not end where it should, or holds what cannot be")       \
    STATUS(SQZ_VALUES_CRC, "decoded weights are not those that were encoded")                       \
    STATUS(SQZ_SHA256, "the file is damaged: its SHA-256 is another")                               \
    STATUS(SQZ_NOT_DELTA, "not a .sqzd file")                                                       \
    STATUS(SQZ_DELTA_VERSION, "a delta version that this decoder does not know")                    \
    STATUS(SQZ_DELTA_HEADER_CRC, "the delta's header is damaged")                                   \
    STATUS(SQZ_DELTA_HEADER, "a field of the delta's header is out of range")                       \
    STATUS(SQZ_DELTA_FORM, "the symbol form, which is for hosts")                                   \
    STATUS(SQZ_DELTA_SIZE, "the delta is truncated or too long")                                    \
    STATUS(SQZ_DELTA_LIMIT, "the delta is for a larger file than is allowed")                       \
    STATUS(SQZ_DELTA_BODY_CRC, "the delta's body is damaged")                                       \
    STATUS(SQZ_DELTA_BASE, "the delta is for another base")                                         \
    STATUS(SQZ_DELTA_INSTRUCTION, "an instruction reaches outside of the base, the delta or NEW")   \
    STATUS(SQZ_DELTA_NEW, "the delta does not make the file that it declares")                      \
    STATUS(SQZ_UNSUPPORTED, "a net, a layer or an input that the runtime does not have")            \
    STATUS(SQZ_SHAPE, "a tensor's shape is not the one that the net needs")

const char *sqz_status_name(sqz_status status) {
    switch (status) {
#define NAME(code, text) \
    case code:           \
        return #code;
        SQZ_STATUSES(NAME)
    case SQZ_N_STATUS:
        break;
    }
    return "unknown status";
}

const char *sqz_status_text(sqz_status status) {
    switch (status) {
#define TEXT(code, text) \
    case code:           \
        return text;
        SQZ_STATUSES(TEXT)
    case SQZ_N_STATUS:
        break;
    }
    return "unknown status";
}
