/* What the tests of damaged files share. */

#ifndef WHOLE_H
#define WHOLE_H

#include "../sqz_private.h"

/* Every tensor, a few hundred weights at a time, as a device that streams them: all checks but File_SHA256. The digest is of names,
 * shapes and values. */
sqz_status whole_decode(const uint8_t *data, size_t size, uint64_t max_weights, uint8_t digest[SQZ_SHA256_SIZE]);

/* Makes Header_CRC, each Payload_CRC and File_SHA256 right again, as far as the file can be parsed: damage then gets further in. */
void whole_fix(uint8_t *data, size_t size, uint64_t max_weights);

#endif
