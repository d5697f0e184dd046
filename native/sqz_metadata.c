/* That metadata are in the one spelling of FORMAT.md, "Metadata". For hosts: it takes strtod and snprintf, in the "C" locale. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sqz_private.h"

enum {
    MAX_DEPTH = 16,
    MAX_INTEGER = 4300, /* digits: what Python takes */
    MAX_FLOAT = 32      /* characters: repr takes 24 at most */
};

static int at_end(const sqz_bytes *t) { return t->next == t->end; }
static int peek(const sqz_bytes *t) { return at_end(t) ? -1 : *t->next; }

static int take(sqz_bytes *t, char c) {
    if (peek(t) != (uint8_t)c) {
        return 0;
    }
    ++t->next;
    return 1;
}

static int take_word(sqz_bytes *t, const char *word) {
    const size_t n = strlen(word);
    if (sqz_n_left(t) < n || memcmp(t->next, word, n) != 0) {
        return 0;
    }
    t->next += n;
    return 1;
}

/* ---- Strings ---- */

/* The rest of a character of more than one byte: no surrogate, none in more bytes than it needs, none above U+10FFFF. */
static int take_utf8(sqz_bytes *t, uint32_t first) {
    const uint32_t n = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    uint32_t c = first & (0x3fu >> n);
    if (first < 0xc2 || first > 0xf4) {
        return 0;
    }
    for (uint32_t i = 0; i < n; ++i) {
        const int byte = peek(t);
        if (byte < 0 || (byte & 0xc0) != 0x80) {
            return 0;
        }
        c = c << 6 | ((uint32_t)byte & 0x3f);
        ++t->next;
    }
    return c >= least[n] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
}

/* What follows a backslash: the control character, quote or backslash that it stands for, or -1. */
static int take_escape(sqz_bytes *t) {
    static const char letters[] = "\"\\bfnrt", characters[] = "\"\\\b\f\n\r\t";
    const int c = peek(t);
    if (c <= 0) {
        return -1;
    }
    ++t->next;
    const char *const letter = strchr(letters, c);
    if (letter != NULL) {
        return characters[letter - letters];
    }
    if (c != 'u' || !take_word(t, "00") || sqz_n_left(t) < 2 || (t->next[0] != '0' && t->next[0] != '1')) {
        return -1;
    }
    static const char digits[] = "0123456789abcdef";
    const char *const low = t->next[1] != 0 ? strchr(digits, t->next[1]) : NULL;
    if (low == NULL) {
        return -1;
    }
    const int value = (t->next[0] - '0') * 16 + (int)(low - digits);
    t->next += 2;
    return strchr("\b\f\n\r\t", value) != NULL && value != 0 ? -1 : value; /* these have letters */
}

/* The next byte of a string's content, once for each byte; -1 at its quote, -2 for what is not allowed. */
static int take_byte(sqz_bytes *t) {
    const int c = peek(t);
    if (c < 0x20) {
        return -2;
    }
    ++t->next;
    if (c == '"') {
        return -1;
    }
    if (c == '\\') {
        const int escaped = take_escape(t);
        return escaped < 0 ? -2 : escaped;
    }
    return c;
}

static int check_string(sqz_bytes *t) {
    if (!take(t, '"')) {
        return 0;
    }
    for (;;) {
        const int c = take_byte(t);
        if (c < 0) {
            return c == -1;
        }
        if (c >= 0x80 && !take_utf8(t, (uint32_t)c)) {
            return 0;
        }
    }
}

/* Whether the string at a, without its escapes, comes before the one at b. Both have been checked. UTF-8 sorts as code points do. */
static int comes_before(sqz_bytes a, sqz_bytes b) {
    take(&a, '"');
    take(&b, '"');
    for (;;) {
        const int x = take_byte(&a), y = take_byte(&b);
        if (x != y) {
            return x < y;
        }
        if (x < 0) {
            return 0;
        }
    }
}

/* ---- Numbers ---- */

/* One more in the last place of digits such as 8.01; a carry out of the first does not come up. */
static void next_digits(char *digits, size_t n) {
    while (n > 0) {
        char *const c = &digits[--n];
        if (*c == '.') {
            continue;
        }
        if (*c != '9') {
            ++*c;
            return;
        }
        *c = '0';
    }
}

/* repr(value) of value > 0: the shortest digits that are read as it, and of these the nearest to it. */
static void repr(double value, char out[2 * MAX_FLOAT]) {
    char text[MAX_FLOAT + 1], digits[MAX_FLOAT + 1], *mark = text;
    int exponent, n = 0;
    for (int precision = 0; precision < 17; ++precision) {
        snprintf(text, sizeof text, "%.*e", precision, value);
        mark = strchr(text, 'e');
        if (strtod(text, NULL) == value) {
            break;
        }
        /* At a power of two what is read as it reaches further up than down, maybe to the digits above. */
        next_digits(text, (size_t)(mark - text));
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    exponent = (int)strtol(mark + 1, NULL, 10);
    for (const char *c = text; c < mark; ++c) {
        if (*c != '.') {
            digits[n++] = *c;
        }
    }
    digits[n] = 0;
    if (exponent < -4 || exponent >= 16) {
        snprintf(out, 2 * MAX_FLOAT, "%c%s%se%c%02d", digits[0], n > 1 ? "." : "", digits + 1, exponent < 0 ? '-' : '+', abs(exponent));
    } else if (exponent < 0) {
        snprintf(out, 2 * MAX_FLOAT, "0.%.*s%s", -exponent - 1, "000", digits);
    } else if (n <= exponent + 1) {
        snprintf(out, 2 * MAX_FLOAT, "%s%.*s.0", digits, exponent + 1 - n, "0000000000000000");
    } else {
        snprintf(out, 2 * MAX_FLOAT, "%.*s.%s", exponent + 1, digits, digits + exponent + 1);
    }
}

static int check_float(const uint8_t *start, size_t size) {
    char given[MAX_FLOAT + 1], spelling[2 * MAX_FLOAT] = "0.0";
    if (size > MAX_FLOAT) {
        return 0;
    }
    memcpy(given, start, size);
    given[size] = 0;
    const double value = strtod(given, NULL);
    if (value - value != 0.0) {
        return 0; /* infinity */
    }
    if (value > 0.0) {
        repr(value, spelling);
    }
    return strcmp(given, spelling) == 0;
}

static size_t take_digits(sqz_bytes *t) {
    const uint8_t *const start = t->next;
    while (peek(t) >= '0' && peek(t) <= '9') {
        ++t->next;
    }
    return (size_t)(t->next - start);
}

static int check_number(sqz_bytes *t) {
    const int minus = take(t, '-');
    const uint8_t *const start = t->next;
    const int zero = peek(t) == '0';
    const size_t n_digits = take_digits(t);
    int is_float = 0;
    if (n_digits == 0 || (zero && n_digits > 1)) {
        return 0;
    }
    if (take(t, '.')) {
        is_float = 1;
        if (take_digits(t) == 0) {
            return 0;
        }
    }
    if (take(t, 'e')) {
        is_float = 1;
        if (!take(t, '-') && !take(t, '+')) {
            return 0;
        }
        if (take_digits(t) == 0) {
            return 0;
        }
    }
    if (!is_float) {
        return n_digits <= MAX_INTEGER && !(minus && zero);
    }
    return check_float(start, (size_t)(t->next - start)); /* -0.0 is a spelling too */
}

/* ---- Values ---- */

/* depth: of this value, 1 for the outermost. */
static int check_value(sqz_bytes *t, int depth) {
    if (depth > MAX_DEPTH) {
        return 0;
    }
    if (take(t, '{')) {
        sqz_bytes before = {NULL, NULL};
        if (take(t, '}')) {
            return 1;
        }
        do {
            const sqz_bytes key = *t;
            if (!check_string(t) || (before.next != NULL && !comes_before(before, key))) {
                return 0;
            }
            before = key;
            if (!take(t, ':') || !check_value(t, depth + 1)) {
                return 0;
            }
        } while (take(t, ','));
        return take(t, '}');
    }
    if (take(t, '[')) {
        if (take(t, ']')) {
            return 1;
        }
        do {
            if (!check_value(t, depth + 1)) {
                return 0;
            }
        } while (take(t, ','));
        return take(t, ']');
    }
    if (peek(t) == '"') {
        return check_string(t);
    }
    return take_word(t, "true") || take_word(t, "false") || take_word(t, "null") || check_number(t);
}

sqz_status sqz_check_metadata(const uint8_t *metadata, size_t size) {
    sqz_bytes t = {metadata, metadata + size};
    return peek(&t) == '{' && check_value(&t, 1) && at_end(&t) ? SQZ_OK : SQZ_METADATA;
}
