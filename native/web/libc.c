/* The few functions of libc that the runtime calls, where there is no libc. */

#include <string.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n) {
    unsigned char *t = to;
    for (const unsigned char *f = from; n > 0; n--) *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t n) {
    unsigned char *t = to;
    const unsigned char *f = from;
    if (t < f)
        while (n-- > 0) *t++ = *f++;
    else
        while (n-- > 0) t[n] = f[n];
    return to;
}

void *memset(void *to, int value, size_t n) {
    for (unsigned char *t = to; n > 0; n--) *t++ = (unsigned char)value;
    return to;
}

int memcmp(const void *a, const void *b, size_t n) {
    const unsigned char *x = a, *y = b;
    for (; n > 0; n--, x++, y++)
        if (*x != *y) return *x < *y ? -1 : 1;
    return 0;
}

size_t strlen(const char *text) {
    size_t n = 0;
    while (text[n] != 0) n++;
    return n;
}

int strcmp(const char *a, const char *b) {
    for (; *a != 0 && *a == *b; a++, b++) {
    }
    return (unsigned char)*a - (unsigned char)*b;
}

size_t strcspn(const char *text, const char *stops) {
    size_t n = 0;
    for (; text[n] != 0; n++)
        for (const char *stop = stops; *stop != 0; stop++)
            if (text[n] == *stop) return n;
    return n;
}

char *strchr(const char *text, int character) {
    for (; *text != (char)character; text++)
        if (*text == 0) return NULL;
    return (char *)text;
}
