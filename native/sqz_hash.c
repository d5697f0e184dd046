/* The checksums of FORMAT.md, "Checksums": CRC-32C and SHA-256. */

#include <string.h>

#include "sqz_private.h"

#if defined(__SSE4_2__)
#include <nmmintrin.h>
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

/* ---- CRC-32C: polynomial 0x1EDC6F41, reflected ---- */

#if defined(__SSE4_2__)

static inline uint32_t crc_byte(uint32_t crc, uint32_t byte) { return _mm_crc32_u8(crc, (uint8_t)byte); }
static inline uint32_t crc_word(uint32_t crc, uint32_t word) { return _mm_crc32_u32(crc, word); }

#elif defined(__ARM_FEATURE_CRC32)

static inline uint32_t crc_byte(uint32_t crc, uint32_t byte) { return __crc32cb(crc, (uint8_t)byte); }
static inline uint32_t crc_word(uint32_t crc, uint32_t word) { return __crc32cw(crc, word); }

#else

#if defined(SQZ_SMALL)

/* By four bits: 64 bytes of table. */
static const uint32_t crc_table[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

static uint32_t crc_byte(uint32_t crc, uint32_t byte) {
    crc ^= byte;
    crc = crc >> 4 ^ crc_table[crc & 15];
    return crc >> 4 ^ crc_table[crc & 15];
}

#else

/* By a byte: 1 KB of table. */
static const uint32_t crc_table[256] = {
    0x00000000, 0xf26b8303, 0xe13b70f7, 0x1350f3f4, 0xc79a971f, 0x35f1141c, 0x26a1e7e8, 0xd4ca64eb,
    0x8ad958cf, 0x78b2dbcc, 0x6be22838, 0x9989ab3b, 0x4d43cfd0, 0xbf284cd3, 0xac78bf27, 0x5e133c24,
    0x105ec76f, 0xe235446c, 0xf165b798, 0x030e349b, 0xd7c45070, 0x25afd373, 0x36ff2087, 0xc494a384,
    0x9a879fa0, 0x68ec1ca3, 0x7bbcef57, 0x89d76c54, 0x5d1d08bf, 0xaf768bbc, 0xbc267848, 0x4e4dfb4b,
    0x20bd8ede, 0xd2d60ddd, 0xc186fe29, 0x33ed7d2a, 0xe72719c1, 0x154c9ac2, 0x061c6936, 0xf477ea35,
    0xaa64d611, 0x580f5512, 0x4b5fa6e6, 0xb93425e5, 0x6dfe410e, 0x9f95c20d, 0x8cc531f9, 0x7eaeb2fa,
    0x30e349b1, 0xc288cab2, 0xd1d83946, 0x23b3ba45, 0xf779deae, 0x05125dad, 0x1642ae59, 0xe4292d5a,
    0xba3a117e, 0x4851927d, 0x5b016189, 0xa96ae28a, 0x7da08661, 0x8fcb0562, 0x9c9bf696, 0x6ef07595,
    0x417b1dbc, 0xb3109ebf, 0xa0406d4b, 0x522bee48, 0x86e18aa3, 0x748a09a0, 0x67dafa54, 0x95b17957,
    0xcba24573, 0x39c9c670, 0x2a993584, 0xd8f2b687, 0x0c38d26c, 0xfe53516f, 0xed03a29b, 0x1f682198,
    0x5125dad3, 0xa34e59d0, 0xb01eaa24, 0x42752927, 0x96bf4dcc, 0x64d4cecf, 0x77843d3b, 0x85efbe38,
    0xdbfc821c, 0x2997011f, 0x3ac7f2eb, 0xc8ac71e8, 0x1c661503, 0xee0d9600, 0xfd5d65f4, 0x0f36e6f7,
    0x61c69362, 0x93ad1061, 0x80fde395, 0x72966096, 0xa65c047d, 0x5437877e, 0x4767748a, 0xb50cf789,
    0xeb1fcbad, 0x197448ae, 0x0a24bb5a, 0xf84f3859, 0x2c855cb2, 0xdeeedfb1, 0xcdbe2c45, 0x3fd5af46,
    0x7198540d, 0x83f3d70e, 0x90a324fa, 0x62c8a7f9, 0xb602c312, 0x44694011, 0x5739b3e5, 0xa55230e6,
    0xfb410cc2, 0x092a8fc1, 0x1a7a7c35, 0xe811ff36, 0x3cdb9bdd, 0xceb018de, 0xdde0eb2a, 0x2f8b6829,
    0x82f63b78, 0x709db87b, 0x63cd4b8f, 0x91a6c88c, 0x456cac67, 0xb7072f64, 0xa457dc90, 0x563c5f93,
    0x082f63b7, 0xfa44e0b4, 0xe9141340, 0x1b7f9043, 0xcfb5f4a8, 0x3dde77ab, 0x2e8e845f, 0xdce5075c,
    0x92a8fc17, 0x60c37f14, 0x73938ce0, 0x81f80fe3, 0x55326b08, 0xa759e80b, 0xb4091bff, 0x466298fc,
    0x1871a4d8, 0xea1a27db, 0xf94ad42f, 0x0b21572c, 0xdfeb33c7, 0x2d80b0c4, 0x3ed04330, 0xccbbc033,
    0xa24bb5a6, 0x502036a5, 0x4370c551, 0xb11b4652, 0x65d122b9, 0x97baa1ba, 0x84ea524e, 0x7681d14d,
    0x2892ed69, 0xdaf96e6a, 0xc9a99d9e, 0x3bc21e9d, 0xef087a76, 0x1d63f975, 0x0e330a81, 0xfc588982,
    0xb21572c9, 0x407ef1ca, 0x532e023e, 0xa145813d, 0x758fe5d6, 0x87e466d5, 0x94b49521, 0x66df1622,
    0x38cc2a06, 0xcaa7a905, 0xd9f75af1, 0x2b9cd9f2, 0xff56bd19, 0x0d3d3e1a, 0x1e6dcdee, 0xec064eed,
    0xc38d26c4, 0x31e6a5c7, 0x22b65633, 0xd0ddd530, 0x0417b1db, 0xf67c32d8, 0xe52cc12c, 0x1747422f,
    0x49547e0b, 0xbb3ffd08, 0xa86f0efc, 0x5a048dff, 0x8ecee914, 0x7ca56a17, 0x6ff599e3, 0x9d9e1ae0,
    0xd3d3e1ab, 0x21b862a8, 0x32e8915c, 0xc083125f, 0x144976b4, 0xe622f5b7, 0xf5720643, 0x07198540,
    0x590ab964, 0xab613a67, 0xb831c993, 0x4a5a4a90, 0x9e902e7b, 0x6cfbad78, 0x7fab5e8c, 0x8dc0dd8f,
    0xe330a81a, 0x115b2b19, 0x020bd8ed, 0xf0605bee, 0x24aa3f05, 0xd6c1bc06, 0xc5914ff2, 0x37faccf1,
    0x69e9f0d5, 0x9b8273d6, 0x88d28022, 0x7ab90321, 0xae7367ca, 0x5c18e4c9, 0x4f48173d, 0xbd23943e,
    0xf36e6f75, 0x0105ec76, 0x12551f82, 0xe03e9c81, 0x34f4f86a, 0xc69f7b69, 0xd5cf889d, 0x27a40b9e,
    0x79b737ba, 0x8bdcb4b9, 0x988c474d, 0x6ae7c44e, 0xbe2da0a5, 0x4c4623a6, 0x5f16d052, 0xad7d5351,
};

static inline uint32_t crc_byte(uint32_t crc, uint32_t byte) { return crc >> 8 ^ crc_table[(crc ^ byte) & 255]; }

#endif

static uint32_t crc_word(uint32_t crc, uint32_t word) {
    for (uint32_t i = 0; i < 4; ++i) {
        crc = crc_byte(crc, word & 255);
        word >>= 8;
    }
    return crc;
}

#endif

uint32_t sqz_crc32c(uint32_t crc, const void *data, size_t size) {
    const uint8_t *next = data;
    crc = ~crc;
    for (; size >= 4; size -= 4, next += 4) {
        crc = crc_word(crc, sqz_u32(next));
    }
    for (; size > 0; --size) {
        crc = crc_byte(crc, *next++);
    }
    return ~crc;
}

uint32_t sqz_crc32c_words(uint32_t crc, const uint32_t *words, uint32_t n) {
    crc = ~crc;
    for (uint32_t i = 0; i < n; ++i) {
        crc = crc_word(crc, words[i]);
    }
    return ~crc;
}

/* ---- SHA-256: FIPS 180-4 ---- */

static const uint32_t sha_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotate(uint32_t word, unsigned n) { return word >> n | word << (32 - n); }

static void sha_block(uint32_t state[8], const uint8_t *block) {
    uint32_t w[16], s[8];
    memcpy(s, state, sizeof s);
    for (unsigned i = 0; i < 64; ++i) {
        if (i < 16) {
            const uint8_t *p = block + 4 * i;
            w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        } else {
            const uint32_t a = w[(i + 1) & 15], b = w[(i + 14) & 15];
            w[i & 15] += w[(i + 9) & 15] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
        }
        const uint32_t e = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25);
        const uint32_t t = s[7] + e + (s[6] ^ (s[4] & (s[5] ^ s[6]))) + sha_constants[i] + w[i & 15];
        const uint32_t a = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
        const uint32_t majority = (s[0] & s[1]) | (s[2] & (s[0] | s[1]));
        s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = s[3] + t;
        s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = t + a + majority;
    }
    for (unsigned i = 0; i < 8; ++i) {
        state[i] += s[i];
    }
}

void sqz_sha256_begin(sqz_sha256 *sha) {
    static const uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(sha->state, state, sizeof state);
    sha->n_bytes = 0;
}

void sqz_sha256_update(sqz_sha256 *sha, const void *data, size_t size) {
    const uint8_t *next = data;
    size_t n_held = (size_t)(sha->n_bytes & 63);
    sha->n_bytes += size;
    while (size > 0) {
        if (n_held == 0 && size >= 64) {
            sha_block(sha->state, next);
            next += 64, size -= 64;
            continue;
        }
        const size_t n = size < 64 - n_held ? size : 64 - n_held;
        memcpy(sha->block + n_held, next, n);
        next += n, size -= n, n_held += n;
        if (n_held == 64) {
            sha_block(sha->state, sha->block);
            n_held = 0;
        }
    }
}

void sqz_sha256_end(sqz_sha256 *sha, uint8_t digest[SQZ_SHA256_SIZE]) {
    const uint64_t n_bits = sha->n_bytes << 3;
    uint8_t end = 0x80;
    do {
        sqz_sha256_update(sha, &end, 1);
        end = 0;
    } while ((sha->n_bytes & 63) != 56);
    uint8_t length[8];
    for (unsigned i = 0; i < 8; ++i) {
        length[i] = (uint8_t)(n_bits >> (56 - 8 * i));
    }
    sqz_sha256_update(sha, length, 8);
    for (unsigned i = 0; i < SQZ_SHA256_SIZE; ++i) {
        digest[i] = (uint8_t)(sha->state[i / 4] >> (24 - 8 * (i & 3)));
    }
}
